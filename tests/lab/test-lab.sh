#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2317 # functions called through ok
# What the lab promises: the command's output and exit status as they are, the
# host's files readable and not changed, a KVM with nested paging, and nothing
# left behind, whatever ends it.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
run=$top_srcdir/tests/lab/run
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch/tmp
mkdir "$TMPDIR"

# Processes of a lab have TMPDIR in their environment, its files lie there.
left_behind() {
	local file
	env -u TMPDIR grep -alz "^TMPDIR=$TMPDIR" /proc/[0-9]*/environ |
		while read -r file; do
			tr '\0' ' ' <"${file%environ}cmdline"
			echo
		done
	env -u TMPDIR find "$TMPDIR" -mindepth 1
	env -u TMPDIR find /run/virtiofsd -name "${TMPDIR//\//.}*"
} 2>/dev/null

nothing_left() {
	local i
	for ((i = 0; i < 1200; i++)); do
		[ -n "$(left_behind)" ] || return 0
		sleep 0.05
	done
	left_behind | sed 's/^/# left: /'
	return 1
}

wait_until_running() {
	local i
	for ((i = 0; i < 1200; i++)); do
		case $(left_behind) in
		*qemu-system*virtiofsd* | *virtiofsd*qemu-system*) return 0 ;;
		esac
		sleep 0.05
	done
	return 1
}

is() { # WANTED GOT
	[ "$1" = "$2" ] || {
		printf 'wanted: %s\ngot: %s\n' "$1" "$2" | sed 's/^/# /'
		return 1
	}
}

cat >"$scratch/command" <<'COMMAND'
printf 'a\nb\r\n\0end'
echo to-error >&2
{
	echo "id $(id -u) cwd $PWD word $WORD arguments $# $1"
	grep -o -w -m 1 svm /proc/cpuinfo
	cat /sys/module/kvm_amd/parameters/npt
	test -c /dev/kvm && echo kvm
	nproc
	echo changed >"$2" && cat "$2"
	head -c 200000 /dev/zero | wc -c
	exec 3>/dev/shm/x 4>/run/x 5<>/dev/ptmx && echo devices
	read -r line || echo no-input
} >"$SHARE/facts"
head -c 300000 /dev/zero
kill -SEGV $$
COMMAND
echo unchanged >"$scratch/host-file"
share="$scratch/share dir"
mkdir -p "$share/sub"
cd "$share/sub" || exit 1
SHARE=$share WORD='two  words' "$run" --smp 2 --memory 1024 \
	--timeout 300 --share "$share" \
	bash "$scratch/command" ' x "y' "$scratch/host-file" >"$scratch/out" 2>"$scratch/error"
status=$?
if [ $status = 77 ]; then
	skip_all "$(cat "$scratch/out")"
fi
ok "exit status, also of a signal" is 139 $status
{
	printf 'a\nb\r\n\0end'
	head -c 300000 /dev/zero
} >"$scratch/wanted"
ok "standard output byte for byte" cmp "$scratch/out" "$scratch/wanted"
ok "standard error apart" is to-error "$(cat "$scratch/error")"
ok "what the command finds" is "id 0 cwd $share/sub word two  words arguments 2  x \"y
svm
Y
kvm
2
changed
200000
devices
no-input" "$(cat "$share/facts")"
ok "the host's files are not changed" \
	is unchanged "$(cat "$scratch/host-file")"
ok "nothing left at the end" nothing_left
cd "$scratch" || exit 1

started=$SECONDS
"$run" --timeout 1 sleep 1000 2>"$scratch/error"
ok "time-out" is 124 $?
ok "time-out is said" is "lab: no end after 1 seconds" "$(cat "$scratch/error")"
ok "time-out in time" test $((SECONDS - started)) -le 60
ok "nothing left after a time-out" nothing_left

"$run" --memory 64 true >/dev/null 2>"$scratch/error"
ok "a machine that fails" is 125 $?
ok "its failure is said" grep -q '^lab: the machine ended' "$scratch/error"

"$run" --smp 0 true 2>/dev/null
ok "usage" is 2 $?

for signal in TERM INT HUP KILL; do
	env --default-signal=INT "$run" sleep 1000 &
	ok "running" wait_until_running
	kill -s $signal $!
	wait $! 2>/dev/null
	ok "nothing left after SIG$signal" nothing_left
done

bash -c '"$0" sleep 1000; :' "$run" &
ok "running" wait_until_running
kill -KILL $!
wait $! 2>/dev/null
ok "nothing left after the caller's death" nothing_left

echo "1..$count"
exit $failed
