#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# devstate show and devstate diff on real streams, and what they say to files
# that are none. No daemon is needed.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
xlfork=$top_builddir/xlfork/xlfork
streams=$top_srcdir/tests/data/streams
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export FORKD_RUN_DIR=$dir/run FORKD_STATE_DIR=$dir/state FORKD=$dir/no-forkd
count=0

result() {
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
		return
	fi
	echo "not ok $count - $2"
	head -n 20 "$dir/out" "$dir/err" | sed 's/^/# /'
}

# run STATUS WORD...: leaves the output in $dir/out and $dir/err.
run() {
	local wanted=$1
	shift
	"$xlfork" devstate "$@" >"$dir/out" 2>"$dir/err" </dev/null
	[ $? = "$wanted" ]
}

# fails STATUS MESSAGE WORD...: exactly that line, and after a usage error the
# usage.
fails() {
	local status=$1 message=$2 good=1
	shift 2
	run "$status" "$@" && [ ! -s "$dir/out" ] &&
		[ "$(grep -v '^usage: xlfork devstate ' "$dir/err")" = \
			"xlfork: $message" ] && good=0
	result $good "devstate $*: $message"
}

# prints TEXT: the last output has these lines, one after the other.
prints() {
	TEXT=$1 python3 - "$dir/out" <<'END'
import os, sys
sys.exit(os.environ["TEXT"] + "\n" not in open(sys.argv[1]).read())
END
	result $? "... $2"
}

# --- show ---

run 0 show "$streams/kvm-smp2.stream" && [ ! -s "$dir/err" ]
result $? "a stream of two vCPUs is shown"
prints 'machine pc-i440fx-7.2
timer[0], version 2, 24 bytes
    cpu_ticks_offset = 42624612719
    unused = opaque, 8 bytes
    cpu_clock_offset = 17430351094
cpu_common[0], version 1, 8 bytes
    halted = 0x1
    interrupt_request = 0x0' "machine, sections, signed integers, opaque bytes"
prints '    env.regs[16] = 0xffffffffa00178a0 0x1 0x4000000000000000 0x0
        0xffffffffa1003e98 0xffffffffa101aa40 0x83 0x1d344 0x4d70ea38b 0x1f7
        0x0 0x1 0x0 0x0 0x0 0x14790
    env.eip = 0xffffffffa0017a0b' "arrays, all their elements"
prints '    env.segs[1]
        selector = 0x10
        base = 0x0
        limit = 0xffffffff
        flags = 0xa09b00' "structures in an array"
grep -q '^cpu\[1\], version 12,' "$dir/out" &&
	grep -q '^    cpu/steal_time_msr, subsection, version 1$' "$dir/out"
result $? "... instances and subsections"
[ "$(grep -cE '.{80}' "$dir/out")" = 0 ]
result $? "... no line is wider than a terminal"

run 0 show "$streams/tcg-max.stream" --json
python3 - "$dir/out" <<'END'
import json, sys
top = json.load(open(sys.argv[1]))
assert top["machine"] == "pc-i440fx-7.2"
cpu = next(s for s in top["sections"] if s["name"] == "cpu")
assert (cpu["kind"], cpu["instance"], cpu["version"]) == ("section", 0, 12)
fields = {f["name"]: f for f in cpu["fields"]}
regs = fields["env.regs"]
assert regs["kind"] == "integers" and len(regs["values"]) == 16
assert all(int(v, 16) < 2**64 for v in regs["values"])
assert any(int(v, 16) > 2**53 for v in regs["values"])
segs = [f for f in cpu["fields"] if f["name"] == "env.segs"]
assert [s["index"] for s in segs] == list(range(6))
assert all(f["kind"] == "integers" for s in segs for f in s["fields"])

kinds = set()
def length(item):
    """A section's bytes are those of its fields, and subsections' heads."""
    kinds.add(item["kind"])
    if item["kind"] not in ("section", "struct", "subsection"):
        return item["bytes"]
    head = 6 + len(item["name"]) if item["kind"] == "subsection" else 0
    return head + sum(length(f) for f in item["fields"])
for section in top["sections"]:
    assert length(section) == section["bytes"], section["name"]
assert kinds == {"section", "struct", "subsection", "integers", "opaque"}
END
result $? "--json: the fields of every section are all its bytes"

# --- diff ---

run 0 diff "$streams/kvm-smp2.stream" "$streams/kvm-smp2.stream" &&
	[ ! -s "$dir/out" ] && [ ! -s "$dir/err" ]
result $? "a file does not differ from itself: status 0, no line"
run 1 diff "$streams/kvm-smp2.stream" "$streams/kvm-hyperv.stream" &&
	[ ! -s "$dir/err" ]
result $? "two guests differ: status 1"
prints 'timer[0].cpu_ticks_offset: 42624612719 -> 27360431631
timer[0].cpu_clock_offset: 17430351094 -> 11188421299
cpu[0].env.regs[0]: 0xffffffffa00178a0 -> 0xffffffff81a178a0' \
	"by the paths and values of their fields, one element a line"
grep -qx 'cpu\[1\]: version 12 -> not there' "$dir/out" &&
	! grep -q '^cpu\[1\]\.' "$dir/out"
result $? "... a section that one lacks is one line"
grep -qx 'cpu\[0\].cpu/msr_hyperv_time.env.msr_hv_tsc: not there -> 0x[0-9a-f]*' \
	"$dir/out"
result $? "... a subsection that one lacks is told by its fields"

# One byte of the opaque text in "globalstate" changed.
python3 - "$streams/tcg-max.stream" "$dir/changed" <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.index(b"\x0bglobalstate") + 12 + 8 + 4
data[at + 99] ^= 1
open(sys.argv[2], "wb").write(data)
END
run 1 diff "$streams/tcg-max.stream" "$dir/changed" && [ "$(cat "$dir/out")" = \
	"globalstate[0].runstate: opaque, 100 bytes -> opaque, 100 bytes, of which 1 differ, the first at 99" ]
result $? "one changed byte of an opaque field is found"

run 1 diff -j "$streams/kvm-hyperv.stream" "$streams/kvm-smp2.stream"
python3 - "$dir/out" <<'END'
import json, sys
rows = {r["path"]: r for r in json.load(open(sys.argv[1]))["differences"]}
assert rows["cpu[0].env.regs[1]"] == {
    "path": "cpu[0].env.regs[1]", "a": "0x0", "b": "0x1"}
assert rows["cpu[1]"]["a"] is None
END
result $? "--json: null where a file lacks a field"
run 0 diff --json "$dir/changed" "$dir/changed" &&
	python3 -c 'import json, sys
assert json.load(open(sys.argv[1])) == {"differences": []}' "$dir/out"
result $? "--json: no difference is an empty array"
count=$((count + 1))
"$xlfork" devstate diff "$streams/kvm-smp2.stream" \
	"$streams/kvm-hyperv.stream" >/dev/full 2>"$dir/err"
if [ $? = 2 ] && grep -q 'cannot write' "$dir/err"; then
	echo "ok $count - a full disk is trouble, not a difference"
else
	echo "not ok $count - a full disk is trouble, not a difference"
fi

# --- what is no device state ---

: >"$dir/empty"
echo 'hello, this is no stream' >"$dir/text"
head -c 60000 "$streams/tcg-max.stream" >"$dir/cut"
python3 - "$streams/tcg-max.stream" "$dir" <<'END'
import sys
data = open(sys.argv[1], "rb").read()
# The same, of a later version; and as xen-save-devices-state leaves it: with
# neither configuration nor description.
open(sys.argv[2] + "/version", "wb").write(data[:4] + b"\0\0\0\4" + data[8:])
end = data.rindex(b"\x00\x06", 0, data.index(b'{"', 1000))
open(sys.argv[2] + "/bare", "wb").write(data[:end + 1])
END
fails 1 "'$dir/empty': the device state is empty" show "$dir/empty"
fails 1 "'$dir/text': not a QEMU stream: it begins with 0x68656c6c 0x6f2c2074" \
	show "$dir/text"
fails 1 "'$dir/cut': stream: no description at its end; it is cut, or made by xen-save-devices-state, which writes none" \
	show "$dir/cut"
fails 1 "'$dir/bare': stream: no description at its end; it is cut, or made by xen-save-devices-state, which writes none" \
	show "$dir/bare"
fails 1 "'$dir/version': a QEMU stream of version 4; only version 3 is known" \
	show "$dir/version"
fails 1 "'$dir': the device state is no regular file" show "$dir"
fails 1 "cannot open device state '$dir/none': No such file or directory" \
	show "$dir/none"
fails 2 "'$dir/text': not a QEMU stream: it begins with 0x68656c6c 0x6f2c2074" \
	diff "$streams/tcg-max.stream" "$dir/text"
fails 2 "cannot open device state '$dir/none': No such file or directory" \
	diff "$dir/none" "$streams/tcg-max.stream"

# --- words that make no sense ---

fails 2 "devstate: show|diff is missing"
fails 2 "devstate: FILE is missing" show
fails 2 "devstate: diff takes two files, the second is missing" diff "$dir/cut"
fails 2 "devstate: '$dir/cut' is one word too many: show takes one file" \
	show "$dir/cut" "$dir/cut"
fails 2 "devstate: 'print' is neither 'show' nor 'diff'" print "$dir/cut"
fails 2 "devstate: unknown option '--jsno'; did you mean '--json'?" \
	show --jsno "$dir/cut"

echo "1..$count"
