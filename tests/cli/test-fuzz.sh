#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What xlfork fuzz refuses, each in one line and with the right exit status,
# and what it reports of single inputs. TAP on standard output.
set -u
: "${top_srcdir:?}" "${top_builddir:?}"
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
bugs=$top_builddir/tests/guest/fuzz/bugs.elf
xlfork=$top_builddir/xlfork/xlfork
if [ ! -f "$bugs" ] || [ ! -w /dev/kvm ]; then
	skip_all "no clang to build programs with, or no /dev/kvm"
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/xlfork-fuzz.XXXXXX")
trap 'rm -rf "$dir"' EXIT
unset __AFL_SHM_ID
mkdir "$dir/empty"
printf 'hello' >"$dir/hello"
printf 'TEST5678!' >"$dir/test"
: >"$dir/nothing"
head -c 70000 /dev/zero >"$dir/large"

why() {
	echo "status $got, $status wanted"
	cat "$dir/out" "$dir/err"
}
# row STATUS TEXT WORD...: one line of messages that contains TEXT; a usage
# error has one more.
row() {
	local status=$1 text=$2 got lines
	shift 2
	timeout 60 "$xlfork" fuzz "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	lines=$(grep -vc '^usage: ' "$dir/err")
	[ "$got" = "$status" ] && grep -qF -- "$text" "$dir/out" "$dir/err" &&
		[ "$lines" -le 1 ]
	result $? "$text"
}

# Words.
row 2 "nothing to fuzz: name a DOMAIN or a --program"
row 2 "are two targets" web --program "$bugs"
row 2 "nothing to run: start it by afl-fuzz" --program "$bugs"
row 2 "--bench needs an --input" --program "$bugs" --bench 1
row 2 "--replay goes with neither" --program "$bugs" --replay x --input y
row 2 "--buffer needs --max-size" --program "$bugs" --buffer rdi \
	--input "$dir/hello"
row 2 "--vcpu without --buffer" --program "$bugs" --vcpu 1 \
	--input "$dir/hello"
row 2 "--vcpu '-1' is not a number from 0 to 254" --program "$bugs" \
	--buffer rdi --max-size 8 --vcpu -1 --input "$dir/hello"
row 2 "--size without --buffer" --program "$bugs" --size rsi \
	--input "$dir/hello"
row 2 "is no register and does not end in :4 or :8" --program "$bugs" \
	--buffer rdi --max-size 8 --size 0x1000 --input "$dir/hello"
row 2 "--coverage 'all' is not one of" --program "$bugs" --coverage all \
	--input "$dir/hello"

# Files, places.
row 1 "cannot open '$dir/none'" --program "$dir/none" --input "$dir/hello"
row 1 "is not linked at fixed addresses" --program /bin/true \
	--input "$dir/hello"
row 1 "is no x86-64 ELF file" --program "$dir/large" --input "$dir/hello"
row 1 "cannot open '$dir/none'" --program "$bugs" --input "$dir/none"
row 1 "there is no input in '$dir/empty'" --program "$bugs" \
	--replay "$dir/empty"
row 1 "no symbol 'guest_inpu'" --program "$bugs" --buffer guest_inpu \
	--max-size 8 --input "$dir/hello"
row 1 "nearest: guest_input" --program "$bugs" --buffer guest_inpu \
	--max-size 8 --input "$dir/hello"
row 1 "address 0x1000000000 is not mapped" --program "$bugs" \
	--buffer 0x1000000000 --max-size 8 --input "$dir/hello"
row 1 "vCPU 1" --program "$bugs" --buffer guest_input --max-size 8 --vcpu 1 \
	--input "$dir/hello"
row 1 "does not fit into the target's buffer of 65536" --program "$bugs" \
	--input "$dir/large"
row 1 "did not say (xlfork_consumed())" --program "$bugs" \
	--prefix "$dir/hello" --input "$dir/hello"

row 2 "--covered is for --input and --replay" --program "$bugs" \
	--input "$dir/hello" --bench 1 --covered "$dir/covered"
row 2 "--covered needs --coverage block or edge" --program "$bugs" \
	--input "$dir/hello" --covered "$dir/covered"

# A limit of instructions: refused where perf does not count a guest's; else
# an endless loop ends by it.
printf LOOP >"$dir/loop"
row 1 "instructions" --program "$bugs" --instructions 1000000 --timeout 60000 \
	--input "$dir/loop"
row 2 "instructions" --program "$bugs" --instructions 0 --input "$dir/loop"

# Runs.
row 0 "harness: stop" --program "$bugs" --input "$dir/hello"
row 0 "harness: stop" --program "$bugs" --input "$dir/nothing"
row 1 "harness: assertion failed: bytes[8] != '!'" --program "$bugs" \
	--input "$dir/test"
row 0 "executions_per_second" --program "$bugs" --input "$dir/hello" \
	--bench 1 --workers 2 --json
row 0 "harness: stop" --program "$bugs" --coverage block --range parse \
	--input "$dir/hello" --covered "$dir/covered"
row 0 "harness: stop" --program "$bugs" --coverage edge --range parse \
	--input "$dir/hello" --covered "$dir/edges"

# The same blocks, but for those where no probe fits.
sed -n 's/^# \(0x[0-9a-f]*\).*/\1/p' "$dir/covered" >"$dir/unseen"
grep -q '^0x.*# parse+' "$dir/covered" &&
	diff <(grep '^0x' "$dir/covered") \
		<(grep '^0x' "$dir/edges" | grep -vwFf "$dir/unseen") \
		>"$dir/err"
result $? "--covered: block and edge coverage list the same"
row 0 "covered  " --program "$bugs" --coverage block \
	--blocks "$dir/covered" --input "$dir/hello"
echo "1..$count"
exit $failed
