#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2317,SC2154,SC2016 # ok calls functions; coproc; awk
# The guests do what the tests rely on: they boot, tick, obey the agent, and
# their pattern and hash are the ones that README.md promises.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
guest=$top_builddir/tests/guest
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
scratch=$(mktemp -d)
machine=''
stop() {
	[ -z "$machine" ] || kill "$machine" 2>/dev/null
	machine=''
	wait 2>/dev/null
}
trap 'stop; rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# boot ARGUMENT...: console on the descriptors in console
boot() {
	stop
	coproc console {
		exec qemu-system-x86_64 -nodefaults -display none -no-reboot \
			-accel tcg -serial stdio "$@" 2>"$scratch/error"
	}
	machine=$console_PID
	exec {in}<&"${console[0]}" {out}>&"${console[1]}"
}

# wait_for LINE: skip lines up to this one
wait_for() {
	local line
	while IFS= read -r -t 120 -u "$in" line; do
		[ "${line%$'\r'}" != "$1" ] || return 0
		echo "# $line"
	done
	echo "# no '$1'"
	return 1
}

# agent COMMAND: sets reply and status
requests=0
agent() {
	local line id
	requests=$((requests + 1))
	id=r$requests
	reply=''
	status=none
	echo "$id $1" >&"$out"
	while IFS= read -r -t 120 -u "$in" line; do
		case $line in
		"$id> "*) reply+=${line#*> }$'\n' ;;
		"$id= "*) status=${line#*= }; break ;;
		esac
	done
}

# agent_says STATUS REPLY COMMAND
agent_says() {
	agent "$3"
	[ "$status" = "$1" ] && [ "$reply" = "$2" ] && return
	printf 'status %s, reply %s\n' "$status" "$reply" | sed 's/^/# /'
	return 1
}

reason=$("$top_srcdir/tests/guest/make-guest" "$guest" bootless linux) || {
	[ $? = 77 ] || exit 1
	skip_all "${reason#skipped: }"
}
"$top_srcdir/tests/guest/make-guest" "$guest" bootless linux
touch "$scratch/now"
ok "all is up to date the second time" \
	test -z "$(find "$guest" -name '*.img' -newer "$scratch/now")"

# A module needs the kernel's headers. Where apt has them they may be downloaded;
# here it has nothing.
without_headers() {
	local said status
	mkdir -p "$scratch/bin" "$scratch/guest/cache"
	ln -s "$guest/cache/kernel" "$scratch/guest/cache/kernel"
	printf '#!/bin/sh\necho "E: nothing here" >&2\nexit 100\n' \
		>"$scratch/bin/apt-get"
	chmod 755 "$scratch/bin/apt-get"
	said=$(PATH=$scratch/bin:$PATH "$top_srcdir/tests/guest/make-guest" \
		"$scratch/guest" oops 2>&1)
	status=$?
	echo "# status $status: $said"
	[ "$status" = 77 ] && [ ! -e "$scratch/guest/fuzz_oops.ko" ] &&
		[[ $said == "skipped: cannot download linux-headers-"*": E: nothing here" ]]
}
if [ -d "$guest/cache/kernel" ] && ! compgen -G \
	'/lib/modules/*-cloud-amd64/build/Makefile' >/dev/null; then
	ok "no headers of the kernel: no module, and the reason" without_headers
fi

for type in pc q35; do
	boot -M $type -m 16 -bios "$guest/bootless.bin"
	ok "boot-less guest on $type: boots" wait_for BOOTED
	ok "boot-less guest on $type: ticks" wait_for "tick 2"
	echo x >&"$out"
	ok "boot-less guest on $type: hears" wait_for "got x"
done

truncate -s 1M "$scratch/disk"
boot -M q35 -m 256 -smp 2 -kernel "$guest/vmlinuz" -initrd "$guest/initrd.img" \
	-append 'console=ttyS0 quiet no_timer_check iomem=relaxed xf.run=net,tick,counter,remap,agent xf.period=0.1' \
	-drive "file=$scratch/disk,format=raw,if=virtio" -vga std \
	-nic user,model=virtio-net-pci,restrict=on
ok "Linux guest: boots" wait_for BOOTED
ok "Linux guest: agent listens" wait_for "agent> ready"
ok "Linux guest: ticks" wait_for "tick 5"
ok "output, both kinds, and status" agent_says 3 $'a\nb c\n\nd\n' \
	"echo a; echo 'b c' >&2; echo; printf d; exit 3"
ok "ticks go on in between" wait_for "tick 20"
ok "disk: write" agent_says 0 '' "disk write /dev/vda 3 2 0"
ok "disk: what was written is the pattern" test "$(od -An -v -tx8 -j1536 -N24 \
	"$scratch/disk" | tr -s ' ')" = \
	" e220a8397b1dcdaf 910a2dec89025cc1
 975835de1c9756ce"
ok "disk: check" agent_says 0 '' "disk check /dev/vda 3 2 0"
ok "disk: another seed differs" agent_says 1 \
	$'disk: /dev/vda: sectors from 3 differ\n' "disk check /dev/vda 3 2 1"
ok "disk: hash of zeros" agent_says 0 $'7da144b97d054b25\n' "disk hash /dev/vda 8 1"
ok "memory: write, check, dump at 0xe8000" agent_says 0 \
	$'afcd1d7b39a820e2c15c0289ec2d0a91\n' \
	"mem write 0xe8000 64 0 && mem check 0xe8000 64 0 && mem dump 0xe8000 16"
ok "memory: a difference is found" agent_says 1 \
	$'mem: differs at 0xe8000\n' "mem check 0xe8000 64 1"
ok "memory: video memory" agent_says 0 '' \
	"set -- \$(mem vga); mem write \$1 4096 7 && mem check \$1 4096 7"
ok "memory: Linux's own is refused" agent_says 1 \
	$'mem: /dev/mem at 0x1000000: Operation not permitted\n' \
	"mem write 0x1000000 8 0"
ok "network: the host's side answers" agent_says 0 '' \
	"ping -q -c 1 -W 5 10.0.2.2 >/dev/null"
# Status 0: good, 1: a counter stands still, 2: an error.
counters() {
	agent "show; sleep 2; show"
	awk '
	{ split($3, count, "="); name = $1 $2 }
	$5 != "errors=0" { bad = 1 }
	name in first { if (count[2] > first[name]) grown++; next }
	{ first[name] = count[2] }
	END { exit bad ? 2 : grown != 4 }' <<<"${reply%?}"
}
# Each of them comes to run, some time.
progress() {
	local tries
	for tries in 1 2 3 4 5 6 7 8 9 10; do
		counters && return
		[ $? = 1 ] || return
	done
	echo "# $tries tries: $reply"
	return 1
}
ok "counters: on both CPUs, all progress, no errors" progress
echo "no-space" >&"$out"
ok "a line without command is refused" wait_for "agent> want: ID COMMAND"
stop

echo "1..$count"
exit $failed
