#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# freeze --at with a Linux guest of two vCPUs: it stands at the address, on the
# vCPU that is named; what is not reached leaves it as it was. The guest gets its
# commands while it is paused, so that nothing depends on who is faster.
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
guest=linux seconds=120
. "$(dirname "$0")/cli.sh"
symbol=__x64_sys_sethostname
state_is() { x info --json parent | grep -q "\"state\": \"$1\""; }

# --- the guest and its agent ---

cat >parent.cfg <<END
name = "parent"
memory = 192
vcpus = 2
accelerator = "tcg"
kernel = "$top_builddir/tests/guest/vmlinuz"
ramdisk = "$top_builddir/tests/guest/initrd.img"
cmdline = "console=ttyS0 quiet no_timer_check xf.run=agent"
serial = "pty"
END
ok "a Linux guest boots" did create parent.cfg

talk parent
until_ok said 'agent> ready'
ask "grep -wE '$symbol|__x64_sys_(gethostname|newuname|setdomainname|reboot)' /proc/kallsyms"
tr -d '\r' <"$from" | sed -n 's/^[0-9]*> \([0-9a-f]\{16\} [A-Za-z] .*\)/\1/p' >kallsyms
address=0x$(awk -v s="$symbol" '$3 == s { print $1 }' kallsyms)
ok "its kallsyms are copied" [ ${#address} = 18 ]
at() { did freeze --at "$symbol" --symbols kallsyms "$@" parent; }

# --- what is not reached ---

ok "a symbol that is not there: the nearest ones" fails \
	"freeze: no symbol '__x64_sys_sethostnam' in 'kallsyms'; nearest: $symbol, " \
	freeze --at __x64_sys_sethostnam --symbols kallsyms parent
ok "a file that is no table of symbols" fails "freeze: symbols 'parent.cfg': line 1: 'ADDRESS TYPE NAME' wanted" \
	freeze --at "$symbol" --symbols parent.cfg parent
ok "an address that is not reached in time" fails \
	"domain [0-9]+ \('parent'\): $address was reached 0 of 1 times within 1000 ms; the guest runs on" \
	freeze --at "$symbol" --symbols kallsyms --timeout 1 parent
ok "... the domain runs" state_is running
ok "... and does what it is told" ask hostname first
did pause parent
ok "of a paused domain" fails \
	".*$address was reached 0 of 1 times within 1000 ms; the guest is paused again" \
	freeze --at "$address" --timeout 1 parent
ok "... it is paused" state_is paused
say hostname second
ok "with another page table" fails \
	".*$address was reached 0 of 1 times with that CR3 within 1000 ms; the guest is paused again" \
	freeze --at "$address" --cr3 0x1000 --timeout 1 parent

# --- what is reached ---

did unpause parent && until_ok answered
did pause parent
# shellcheck disable=SC2016 # the guest's shell expands it
say 'for i in 1 2 3 4 5; do hostname h$i; done; hostname'
ok "the third arrival" at --count 3 --json
ok "... as JSON" python3 -c '
import json, sys
answer = json.load(open("out"))
assert answer["name"] == "parent" and answer["arrivals"] == 3, answer
assert answer["address"] == sys.argv[1] and answer["vcpu"] in (0, 1), answer
assert answer["cr3"] > 0, answer
print(answer["vcpu"], hex(answer["cr3"]), file=open("arrival", "w"))
' "$address"
read -r vcpu cr3 <arrival
ok "the domain is frozen" state_is frozen
did save-devstate parent frozen.stream
x devstate show frozen.stream >shown
sed -n "/^cpu\[$vcpu\]/,/^[^ ]/p" shown >cpu
ok "the vCPU that was named stands there" grep -qx "    env.eip = $address" cpu
sed -n 's/^    env.cr\[3\] = //p' cpu >stood
ok "... with that page table" python3 -c '
import sys
frame = (1 << 52) - 4096
sys.exit(int(open("stood").read(), 16) & frame != int(sys.argv[1], 16) & frame)
' "$cr3"
ok "frozen twice is refused" fails "domain .* is frozen, 'freeze' is not possible" \
	freeze --at "$address" parent

# A fork goes on from there, its parent too.
ok "it is forked" did fork-vm parent
fork=$(cat out)
exec {parent_to}>&"$to"
parent_from=$from
talk "$fork"
# What it said before the console was there is lost, so it is asked.
ask hostname
ok "the fork does the rest" until_ok said '> h5$'
exec {to}>&-
did destroy "$fork"
to=$parent_to from=$parent_from
did unpause parent
ok "the parent, too" until_ok said '> h5$'

# A table as nm prints it, moved; a vCPU of the guest's own choice.
python3 - "$address" "$symbol" <<'END' >nm.txt
import sys
print("%016x T %s" % (int(sys.argv[1], 16) - 0x1000000, sys.argv[2]))
END
for cpu in 1 0; do
	did pause parent
	say "taskset $((1 << cpu)) hostname cpu$cpu"
	ok "vCPU $cpu arrives at a symbol of nm's, moved" matches \
		"^vCPU $cpu at $address \($symbol\+0x0\), CR3 0x[0-9a-f]+, arrival 1\$" \
		freeze --at "$symbol+0x0" --symbols nm.txt --slide 0x1000000 parent
	did unpause parent
	until_ok answered
done

# --- the guest's own symbols ---

ok "a symbol that its kernel does not have: the nearest ones" fails \
	"domain [0-9]+ \('parent'\): no symbol '__x64_sys_sethostnam' in 'guest'; nearest: $symbol, " \
	freeze --at __x64_sys_sethostnam --symbols guest parent
ok "... the domain runs" state_is running
ok "... and does what it is told" ask hostname third
did pause parent
ok "of a paused domain, not reached in time" fails \
	".*$address was reached 0 of 1 times with that CR3 within 1000 ms; the guest is paused again" \
	freeze --at "$symbol" --symbols guest --cr3 0x1000 --timeout 1 parent
ok "... it is paused" state_is paused
did unpause parent
# Whoever is faster: it arrives again and again.
# shellcheck disable=SC2016 # the guest's shell expands it
say 'while :; do hostname "h$((i += 1))"; sleep 0.2; done'
ok "it arrives" matches \
	"^vCPU [01] at $address \($symbol\), CR3 0x[0-9a-f]+, arrival 2\$" \
	freeze --at "$symbol" --symbols guest --count 2 parent
did unpause parent
did pause parent
ok "a paused one, too" matches \
	"^vCPU [01] at $address \($symbol\+0x0\), CR3 " \
	freeze --at "$symbol+0x0" --symbols guest parent
ok "... it is frozen" state_is frozen
ok "... and can be forked" did fork-vm -p parent
did destroy "$(cat out)"
echo "1..$count"
