#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
# Forks that KVM cannot go on with: a triple fault, and code where no memory is.
# They are crashed, `info` and the event say why and have the registers, and a
# reset brings them back. A KVM in software gives up at the faulting instruction
# itself, and what it does where no memory is nobody knows.
# tests/lab/test-crash.sh has both on a KVM like hardware's.
needs_kvm=yes
. "$(dirname "$0")/cli.sh"

config() {
	cat <<-EOF
		name = "$1"
		memory = 16
		firmware = "busy.bin"
		accelerator = "kvm"
		cpu = "max,-arch-capabilities"
		serial = "pty"
	EOF
}
state() { matches " $2( |\$)" list "$1"; }
event_says() { # ID TEXT
	grep "\"DOMAIN_STATE\".*\"id\": *$1,.*\"state\": *\"crashed\"" happened |
		grep "$2" | grep -q '"registers".*"rip"'
}

# crashes NAME LETTER REASON: a fork that is left without its serial port.
crashes() {
	local fork before
	config "$1" >"$1.cfg"
	ok "create" did create "$1.cfg"
	ok "... the guest is told what to do without a serial port" order "$1" armed "$2"
	ok "a fork" did fork-vm --launch-dm no --io-policy ignore "$1"
	fork=$(cat out)
	ok "... crashes" until_ok state "$fork" crashed
	ok "... info says why" matches "^state: +crashed \\($3" info -r "$fork"
	ok "... with the registers" grep -qE '^vCPU 0: +rip=0x[0-9a-f]+ ' out
	ok "... the event has both" until_ok event_says "$fork" "$3"
	refuses "... it does not go on" "domain $fork .*crashed" unpause "$fork"
	ok "reset brings it back" did fork-vm --fork-reset -p "$fork"
	ok "... paused" state "$fork" paused
	ok "... where its parent stands" \
		[ "$(x info -r "$fork" | grep -A 2 '^vCPU 0:')" = \
			"$(x info -r "$1" | grep -A 2 '^vCPU 0:')" ]
	ok "... it goes on" did unpause "$fork"
	ok "... to the same end" until_ok state "$fork" crashed
	ok "the parent still stands" state "$1" frozen
	ok "destroy" did destroy -r "$1"
}

config first >first.cfg
ok "create" did create first.cfg
timeout 3000 "$xlfork" events --json >happened 2>&1 &
events=$!
# There is something to be heard until it is heard.
listens() {
	x pause first
	x unpause first
	[ -s happened ]
}
until_ok listens
if x doctor | grep -qE '^[a-z]+ +KVM +hardware'; then
	crashes fault T reset
	crashes nowhere X 'internal error: '
else
	crashes fault T 'internal error: '
fi
kill $events
wait $events 2>/dev/null
ok "destroy" did destroy first
ok "no daemon is left" until_ok no_forkd
echo "1..$count"
