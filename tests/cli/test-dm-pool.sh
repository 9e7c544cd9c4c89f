#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Device models that wait for forks without one: which launch they serve, which
# not, and that a daemon that is killed, or a fork that is destroyed, leaves none.
# Any KVM will do.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
xlfork=$top_builddir/xlfork/xlfork
dir=$(mktemp -d /tmp/test-xlfork.XXXXXX)
export FORKD_RUN_DIR=$dir/run FORKD_STATE_DIR=$dir/state
export FORKD=$top_builddir/forkd/forkd
count=0

x() { timeout 60 "$xlfork" "$@"; }
clean_up() {
	x destroy -r one >/dev/null 2>&1
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

if ! { exec 9<>/dev/kvm; } 2>/dev/null; then
	echo "1..0 # SKIP no /dev/kvm, or no permission for it"
	exit 0
fi
exec 9>&-
sh "$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" bootless \
	>"$dir/log" 2>&1 || {
	echo "1..0 # SKIP no guest: $(tail -n 1 "$dir/log")"
	exit 0
}
cd "$dir" || exit 1
# QEMU's user may not be allowed to use KVM here; root is.
if [ "$(id -u)" = 0 ]; then
	printf '#!/bin/sh\nexec "%s" --qemu-user root "$@"\n' "$FORKD" >forkd
	chmod 755 forkd
	FORKD=$dir/forkd
fi

ok() {
	local name=$1
	shift
	count=$((count + 1))
	if "$@"; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		sed 's/^/# /' out err 2>/dev/null
	fi
}
did() { x "$@" >out 2>err </dev/null && [ ! -s err ]; }
prints() {
	local wanted=$1
	shift
	did "$@" && [ "$(cat out)" = "$wanted" ]
}
until_ok() {
	for _ in $(seq 600); do
		"$@" && return
		sleep 0.05
	done
	return 1
}
fact() { x info --json "$1" | python3 -c '
import json, sys
print(json.load(sys.stdin).get(sys.argv[1], ""))' "$2"; }
has() { [ "$(fact "$1" "$2")" = "$3" ]; }
qemu() { fact "$1" qemu-pid; }
ticks() { [ -f "$1" ] && grep -q "^tick" "$1"; }
overlays() { [ "$(find state/overlays -name '*.qcow2' | wc -l)" = "$1" ]; }
gone() { ! kill -0 "$1" 2>/dev/null; }

truncate -s 1M disk.raw
config() {
	cat <<-END
		name = "$1"
		memory = 16
		firmware = "$top_builddir/tests/guest/bootless.bin"
		firmware_type = "rom"
		accelerator = "kvm"
		cpu = "max,-arch-capabilities"
		serial = "file:$dir/$2"
		disk = [ "$dir/${3-disk.raw,raw},vda,rw" ]
	END
}
config one one.console >one.cfg
ok "create" did create one.cfg
until_ok ticks one.console
ok "five forks, of which four have a device model that waits" prints \
	$'2\n3\n4\n5\n6' fork-vm --launch-dm no -n 5 --dm-pool 4 one
ok "... each with an overlay of its own" overlays 4
waits=$(qemu 2)
ok "... and a QEMU" [ -n "$waits" ]
ok "the fifth has none" [ -z "$(qemu 6)" ]
ok "they run without it" has 2 backend kvm

ok "the launch uses the one that waits" prints "device model: one that waited" \
	fork-vm --launch-dm late 2
ok "... the same process" [ "$waits" = "$(qemu 2)" ]
ok "... it is on QEMU now" has 2 backend qemu
ok "... and goes on counting" until_ok ticks one.console.one.2
ok "... not from the beginning" [ "$(grep -c BOOTED one.console.one.2)" = 0 ]

# The same arguments under another name.
config other one.console.one.3 >same.cfg
ok "-C with the same arguments is served, too" prints \
	"device model: one that waited" fork-vm --launch-dm late -C same.cfg 3
ok "... under the new name" prints other domname 3
ok "... and goes on counting" until_ok ticks one.console.one.3

waits=$(qemu 4)
config own own.console >own.cfg
ok "other arguments: another QEMU, and the reason" prints \
	"device model: started anew: the device models that wait were started with other arguments: 'serial' differs" \
	fork-vm --launch-dm late -C own.cfg 4
ok "... it goes on counting" until_ok ticks own.console
ok "... the one that waited is gone" until_ok gone "$waits"
ok "... with its overlay" overlays 4

ok "without a pool nothing is said of it" prints "" fork-vm --launch-dm late 6
ok "... the launch is a launch" until_ok ticks one.console.one.6

# One that died while it waited serves nobody.
waits=$(qemu 5)
kill -KILL "$waits"
until_ok gone "$waits"
ok "one that died: another QEMU" prints \
	"device model: started anew: no device model waits" \
	fork-vm --launch-dm late 5
ok "... the launch is a launch" until_ok ticks one.console.one.5

# What is destroyed takes the one that waits along.
ok "one more" prints 7 fork-vm --launch-dm no --dm-pool 1 one
waits=$(qemu 7)
ok "a fork with one that waits is reset" did fork-vm --fork-reset 7
ok "... and destroyed" did destroy 7
ok "... with the QEMU" until_ok gone "$waits"

# The next daemon does not know what it was started with.
ok "one more" prints 8 fork-vm --launch-dm no --dm-pool 1 one
waits=$(qemu 8)
kill -KILL "$(x version | sed -n 's/.*process //p')"
ok "a new daemon takes the fork over" has 8 backend kvm
ok "... and ends what waits" until_ok gone "$waits"
ok "... the fork is launched all the same" did fork-vm --launch-dm late 8
ok "... and counts" until_ok ticks one.console.one.8
ok "all are destroyed" did destroy -r one
ok "... no overlay is left" overlays 0
echo "1..$count"
