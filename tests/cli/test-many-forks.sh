#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
# Many forks of one parent without device model that run at once, some of them
# launched late: the parent's memory stays as it is, and all is gone in the end
# but what is the user's. 100 forks in soak. Any KVM will do.
needs_kvm=yes
seconds=300
. "$(dirname "$0")/cli.sh"
forks=8 late=2
[ -z "${LF_SOAK-}" ] || forks=100 late=10

# config NAME SERIAL DISK
config() {
	cat <<-END
		name = "$1"
		memory = 16
		firmware = "busy.bin"
		accelerator = "kvm"
		cpu = "max,-arch-capabilities"
		serial = "file:$dir/$2"
		disk = [ "$dir/$3,qcow2,vda,rw" ]
	END
}
# rows TEST: how many domains of the list a Python expression is true for.
rows() {
	x list --json | python3 -c '
import json, sys
print(sum(bool(eval(sys.argv[1], {}, row)) for row in json.load(sys.stdin)["domains"]))' "$1"
}
are() { [ "$(rows "$2")" = "$1" ]; }
pids() {
	x list --json | python3 -c '
import json, sys
for row in json.load(sys.stdin)["domains"]:
    print(row.get("pid", ""), row.get("qemu-pid", ""))' | tr ' ' '\n' | sort -u
}
all_gone() {
	local pid
	while read -r pid; do
		[ -z "$pid" ] || [ ! -e "/proc/$pid" ] || return 1
	done <processes
}
# The memory that a parent's QEMU shares with all its forks.
ram() {
	local fd
	for fd in "/proc/$qemu/fd"/*; do
		case $(readlink "$fd") in
		"/memfd:guest memory"*)
			sha256sum <"$fd"
			return
			;;
		esac
	done
}
# Each has written the pages that the guest writes in turn.
all_wrote() {
	x list --tree --json | python3 -c '
import json, sys
forks = json.load(sys.stdin)["domains"][0]["children"]
sys.exit(min(fork["own-pages"] for fork in forks) < 8)'
}

qemu-img create -q -f qcow2 disk.qcow2 1M
config one one.console disk.qcow2 >one.cfg
ok "create" did create one.cfg
until_ok counts_past one.console 8 || exit 1
ok "freeze" did freeze one
qemu=$(x info --json one | sed -n 's/^ *"qemu-pid": \([0-9]*\),*$/\1/p' | head -n 1)
last=$(counted one.console)
before=$(ram)
ok "the parent's memory can be looked at" [ -n "$before" ]
ok "$forks forks without device model" \
	did fork-vm --launch-dm no --io-policy ignore -n "$forks" one
mapfile -t ids <out
ok "... print as many ids" [ "${#ids[@]}" = "$forks" ]
ok "... and run, all at once" are "$forks" 'state == "running" and backend == "kvm"'
ok "... and get on" until_ok all_wrote
for ((i = 0; i < late - 1; i++)); do
	ok "fork ${ids[i]} is launched late" did fork-vm --launch-dm late "${ids[i]}"
done
config named named.console named.qcow2 >named.cfg
ok "one more, whose overlay has a name" \
	did fork-vm --launch-dm late -C named.cfg "${ids[i]}"
ok "... was made" [ -s named.qcow2 ]
ok "all run" are "$forks" 'state == "running"'
ok "... $late with a device model" are "$late" 'state == "running" and backend == "qemu"'
for ((i = 0; i < late - 1; i++)); do
	ok "fork ${ids[i]} counts on" until_ok counts_past "one.console.one.${ids[i]}" "$last"
done
ok "fork ${ids[i]} counts on" until_ok counts_past named.console "$last"
ok "the parent stood still" [ "$(counted one.console)" = "$last" ]
ok "... and its memory is what it was" [ "$(ram)" = "$before" ]
pids >processes
ok "$((late - 1)) overlays are forkd's" \
	[ "$(find state/overlays -name '*.qcow2' | wc -l)" = $((late - 1)) ]
ok "destroy" did destroy -r one
ok "no domain is left" prints '' list
ok "... no process" until_ok all_gone
ok "... no overlay of forkd's" [ -z "$(ls state/overlays)" ]
ok "... and the one that was named" [ -s named.qcow2 ]
ok "no daemon is left" until_ok no_forkd
echo "1..$count"
