#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Device models that wait for forks without one: which launch they serve, which
# not, and that a daemon that is killed, or a fork that is destroyed, leaves none.
# Any KVM will do.
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
needs_kvm=yes
. "$(dirname "$0")/cli.sh"

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
