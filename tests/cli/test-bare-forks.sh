#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
# Forks without device model, through xlfork and forkd: of a QEMU under KVM whose
# guest is a firmware image that counts. They run, stop at devices, crash, are
# reset, forked again and launched late. Any KVM will do.
needs_kvm=yes
. "$(dirname "$0")/cli.sh"

# config NAME SERIAL [ACCELERATOR CPU]
config() {
	cat <<-EOF
		name = "$1"
		memory = 16
		firmware = "busy.bin"
		accelerator = "${3-kvm}"
		cpu = "${4-max,-arch-capabilities}"
		serial = "$2"
	EOF
}
state() { matches " $2( |\$)" list "$1"; }
number() { x info --json "$1" | sed -n "s/^ *\"$2\": \\([0-9]*\\),*\$/\\1/p" | head -n 1; }
own_pages() { x list --tree --json | python3 -c '
import json, sys
def walk(rows):
    for row in rows:
        if str(row["id"]) == sys.argv[1]:
            print(row["own-pages"])
        walk(row.get("children", []))
walk(json.load(sys.stdin)["domains"])' "$1"; }
general() { x info -r "$1" | grep -A 2 '^vCPU 0:'; }
# A vCPU that runs has other registers each time that it is stopped, if it came
# to run in between.
moves() {
	local before after
	x pause "$1" && before=$(general "$1") && x unpause "$1" &&
		x pause "$1" && after=$(general "$1") && x unpause "$1" &&
		[ "$before" != "$after" ]
}
# The pages that the guest writes in turn, and few more.
has_written() {
	pages=$(own_pages "$1")
	[ "${pages:-0}" -ge 8 ] && [ "$pages" -le 64 ]
}

# --- a guest that needs no device ---
config one pty >one.cfg
ok "create" did create one.cfg
one=$(cat out)
ok "the guest is told to touch no device any more" order one silent S
ok "three forks without device model" did fork-vm --launch-dm no -n 3 one
mapfile -t ids <out
ok "... print three ids" [ "${#ids[@]}" = 3 ]
fork=${ids[0]}
for id in "${ids[@]}"; do
	ok "fork $id runs" state "$id" running
	ok "... and gets on" until_ok moves "$id"
done
ok "the parent is frozen" state one frozen
ok "the tree says which have no device model" \
	matches "^ *$fork ..one\.$fork +running .* kvm +[0-9]+ +$one *\$" list --tree
ok "... and how many pages each has of its own" until_ok has_written "$fork"
ok "they live in their parent's process" \
	[ "$(number "$fork" pid)" = "$(number one pid)" ]
ok "info names them as holders" matches "^held by: +domain $fork " info one
refuses "registers of a fork that runs" \
	"registers of domain $fork: .*is running" info --registers "$fork"
refuses "its console" "domain $fork .*has no device model, so no console" \
	console "$fork"
refuses "its power button" "domain $fork .*has no device model, so no power" \
	shutdown "$fork"
ok "pause" did pause "$fork"
ok "... and its registers" matches '^vCPU 0: +rip=0x[0-9a-f]+ ' info -r "$fork"
ok "... again, the same" prints "$(cat out)" info -r "$fork"
ok "unpause" did unpause "$fork"
refuses "-m with another number names both" \
	"fork-vm: domain 'one' has 1 virtual CPUs, so its fork cannot have 4" \
	fork-vm --launch-dm no -m 4 one
ok "-m with the parent's, -p, every option" did fork-vm --launch-dm no -m 1 -p \
	--interrupts all --pv-clock --verify 1 --io-policy crash one
all=$(cat out)
ok "... is paused" state "$all" paused
registers() { x info -r "$1" | sed -n '/^vCPU 0:/,$p' | grep '='; }
ok "... with the registers that QEMU says its parent has" \
	[ "$(registers "$all")" = "$(registers one)" ]
ok "... runs" did unpause "$all"
ok "reset, compared with the snapshot" did fork-vm --fork-reset -p "$all"
ok "... is paused" state "$all" paused
ok "reset of one that runs" did fork-vm --fork-reset "$fork"
ok "... runs again" state "$fork" running
ok "... and gets on" until_ok moves "$fork"
refuses "reset of the parent" "domain $one \('one'\) is frozen" \
	fork-vm --fork-reset one
refuses "unpause of the parent" "domain $one .*is held by 4 forks" unpause one

# --- forks of forks ---
ok "freeze" did freeze "$fork"
ok "save-devstate of a fork without device model" did save-devstate "$fork" fork.state
ok "... writes one" [ -s fork.state ]
ok "a fork of the fork" did fork-vm --launch-dm no "$fork"
child=$(cat out)
ok "... runs" state "$child" running
ok "a full fork of the fork, from the file" did fork-vm -Q fork.state "$fork"
full=$(cat out)
ok "... runs" state "$full" running
ok "the grandchild is launched late" did fork-vm --launch-dm late "$child"
ok "... and has a device model" \
	matches "^ *$child .*one\.$fork\.$child +running .* qemu " list --tree
ok "... in the same process" [ "$(number "$child" pid)" = "$(number one pid)" ]
refuses "a second time" "domain $child .*has a device model already" \
	fork-vm --launch-dm late "$child"
refuses "destroy of the fork that was forked" "domain $fork .*--recursive" \
	destroy "$fork"
ok "destroy of a grandchild" did destroy "$child"
ok "destroy --recursive of a fork" did destroy -r "$fork"
ok "... leaves the others" state "${ids[1]}" running
config late pty >late.cfg
ok "launch with a configuration" did fork-vm --launch-dm late -p -C late.cfg \
	"${ids[1]}"
ok "... keeps the id and takes the name" prints "${ids[1]}" domid late
ok "... paused" state late paused
config other pty >other.cfg
echo 'vcpus = 2' >>other.cfg
refuses "launch with another guest's" '.*vcpus' \
	fork-vm --launch-dm late -C other.cfg "${ids[2]}"
refuses "launch with another device state" '.*' \
	fork-vm --launch-dm late -Q other.cfg "${ids[2]}"
ok "... leaves the fork as it was" matches ' kvm ' list "${ids[2]}"
ok "reset of a launched fork" did fork-vm --fork-reset late
ok "... which has a device model still" matches ' late +running .* qemu ' list late

# --- killed ---
kill -KILL "$(number "${ids[2]}" pid)"
ok "with the domain process its forks are gone" until_ok state "${ids[2]}" crashed
ok "... also one that was launched" until_ok state late crashed
ok "... and the parent" until_ok state one crashed
refuses "reset of such a fork" "domain ${ids[2]} .*it has no domain process" \
	fork-vm --fork-reset "${ids[2]}"
ok "... can be destroyed" did destroy -r one
ok "nothing is left" prints '' list

# --- devices ---
config two "file:$dir/two.console" >two.cfg
ok "create" did create two.cfg
until_ok counts_past two.console 8 || exit 1
timeout 600 "$xlfork" events --json >happened 2>&1 &
events=$!
# There is something to be heard until it is heard.
listens() {
	x pause two
	x unpause two
	[ -s happened ]
}
until_ok listens
ok "a fork that stops at a device" did fork-vm --launch-dm no two
stop=$(cat out)
last=$(counted two.console)
ok "... says which" until_ok \
	matches '^state: +paused \(port (read: 0x3fd, 1 byte|write: .*)\)' info "$stop"
ok "... and shows the access" \
	matches '^access: +port 0x3f[d8] (read|write), size 1' info "$stop"
ok "it does so again" did unpause "$stop"
ok "..." until_ok state "$stop" paused
ok "launched, it goes on" did fork-vm --launch-dm late "$stop"
ok "..." until_ok counts_past "two.console.two.$stop" "$last"
ok "... without a gap" [ "$(counted "two.console.two.$stop")" -gt "$last" ]
ok "a fork that launches its device model itself" \
	did fork-vm --launch-dm no --io-policy launch two
launch=$(cat out)
ok "... goes on there" until_ok counts_past "two.console.two.$launch" "$last"
ok "... and is like any other" matches ' running .* qemu ' list "$launch"
ok "a fork that ignores devices" did fork-vm --launch-dm no --io-policy ignore two
ignore=$(cat out)
ok "... runs" until_ok moves "$ignore"
ok "a fork that shall not touch one" did fork-vm --launch-dm no --io-policy crash two
crash=$(cat out)
ok "... crashes" until_ok state "$crash" crashed
ok "... and says why" matches 'crashed \(device access without a device model: port' \
	info "$crash"
ok "... with its registers" matches '^vCPU 0: +rip=' info "$crash"
ok "reset brings it back" did fork-vm --fork-reset -p "$crash"
ok "..." state "$crash" paused
ok "the parent stood still" [ "$(counted two.console)" = "$last" ]
ok "destroy" did destroy -r two
ok "events tell of an access" until_ok grep -q "\"DOMAIN_STATE\".*\"id\": *$stop,.*\"access\"" happened
ok "... of a launch" until_ok grep -q "\"DOMAIN_LAUNCHED\".*\"id\": *$launch," happened
ok "... and of a crash, with registers" \
	until_ok grep -q "\"id\": *$crash,.*\"crashed\".*\"registers\"" happened
kill $events
wait $events 2>/dev/null

# --- forkd killed ---
config three pty >three.cfg
ok "create" did create three.cfg
until_ok state three running
crash=$(x fork-vm --launch-dm no --io-policy crash three)
ok "a fork that crashes" until_ok state "$crash" crashed
ok "a fork that runs" did fork-vm --launch-dm no -p three
live=$(cat out)
daemon=$(x version | sed -n 's/.*process //p')
kill -KILL "$daemon"
ok "the next daemon knows the fork" state "$live" paused
ok "... and the crashed one, and why" matches 'crashed .*device access' list "$crash"
ok "... which can be reset" did fork-vm --fork-reset -p "$crash"
ok "... and makes more" did fork-vm --launch-dm no -p three
ok "... and launches one late" did fork-vm --launch-dm late "$live"
kill -KILL "$(x version | sed -n 's/.*process //p')"
ok "a launched one is known, too" matches "three\.$live +running .* qemu " list "$live"
ok "destroy" did destroy -r three

# --- a parent that KVM cannot go on with ---
config tcg "file:$dir/tcg.console" tcg qemu64,+3dnow >tcg.cfg
ok "a guest under TCG" did create -p tcg.cfg
refuses "... with a CPU that KVM cannot give" \
	".*emulated by TCG, cannot go on in this KVM.*" fork-vm --launch-dm no tcg
ok "... leaves no fork" [ "$(x list | wc -l)" = 2 ]
ok "destroy" did destroy tcg
ok "no daemon is left" until_ok no_forkd
echo "1..$count"
