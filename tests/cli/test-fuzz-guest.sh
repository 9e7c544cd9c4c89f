#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
# A Linux guest whose program waits in xlfork_start(): it runs under TCG, so
# that this works anywhere, and is fuzzed on this host's KVM, of which a program
# that makes no system calls needs nothing but user mode.
needs_kvm=yes guest=linux
. "$(dirname "$0")/cli.sh"
. "$top_srcdir/tests/lib/afl-inside.sh"
command -v afl-fuzz >/dev/null || skip_all "no AFL++ (package afl++)"
[ -e /usr/include/yaml.h ] || skip_all "no libyaml (package libyaml-dev)"
# afl-fuzz wants a program, not libtool's script.
real=$top_builddir/xlfork/.libs/xlfork
[ ! -x "$real" ] || xlfork=$(realpath "$real")
export LD_LIBRARY_PATH=$top_builddir/libfork/.libs
if grep -q __asan_init "$xlfork"; then
	skip_all "afl-fuzz takes a target with AddressSanitizer for another kind"
fi
mkdir xf seeds
"${CC:-cc}" -O1 -g -static -DWAIT_IN_HARNESS -I"$top_srcdir/libfork/fuzz" \
	-o xf/fuzz-target "$top_srcdir/tests/lab/fuzz_target.c" -lyaml || exit
{
	find xf | cpio -o -H newc --quiet
	cat "$top_builddir/tests/guest/initrd.img"
} >initrd

# config NAME: a CPU without what a KVM might lack.
config() {
	cat <<-CONFIG
		name = "$1"
		accelerator = "tcg"
		cpu = "qemu64,-svm,-sse3,-cx16,-lahf-lm"
		serial = "file:$dir/$1.console"
	CONFIG
}
says() { grep -q "$2" "$1.console"; }
# Frozen in the program, and not while its kernel serves an interrupt, for which
# this KVM may take its time.
frozen_in_program() {
	did freeze "$1" || return
	x info -r "$1" >registers
	grep -qE '^vCPU 0: +rip=0x4[0-9a-f]{5} ' registers || {
		x unpause "$1" >out 2>err
		return 1
	}
}

cat - <(config target) >target.cfg <<EOF
memory = 128
kernel = "$top_builddir/tests/guest/vmlinuz"
ramdisk = "$dir/initrd"
cmdline = "console=ttyS0 quiet no_timer_check xf.run=fuzz-target"
EOF
sh "$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" bootless >&2
cat - <(config other) >other.cfg <<EOF
memory = 16
firmware = "$top_builddir/tests/guest/bootless.bin"
EOF
ok "a guest boots under TCG" did create target.cfg
ok "another one does" did create other.cfg
ok "the first one's program comes to xlfork_start()" \
	until_ok says target 'fuzz target ready'
ok "the second one knows no harness" until_ok says other 'tick'
ok "it is frozen there" until_ok frozen_in_program target
ok "the other is frozen anywhere" did freeze other

printf 'a: [1, 2, {b: c}]\n' >seeds/flow
printf -- '- &a x\n- *a\n' >seeds/alias
printf MARK >mark
printf LOOP >loop
x fuzz --input seeds/flow target >out 2>err || {
	if grep -q 'cannot go on in this KVM' err; then
		echo "ok $((count + 1)) # SKIP $(cat err)"
		echo "1..$((count + 1))"
		exit
	fi
}
ok "a run begins in xlfork_start(), ends at xlfork_stop()" \
	matches '^reason   harness: stop$' fuzz --input seeds/flow target
# status N PATTERN WORD...: exit status N, and a line of output that matches.
status() {
	local wanted=$1 pattern=$2
	shift 2
	x "$@" >out 2>err </dev/null
	[ $? = "$wanted" ] && grep -qE -- "$pattern" out
}
ok "xlfork_crash() is a crash" \
	status 1 '^reason   harness: the target says so$' fuzz --input mark target
ok "an endless loop is a hang" \
	status 1 '^result   hang$' fuzz --input loop target
refuses "a guest without a harness" \
	"the harness's xlfork_start\(\) was not reached: .* at 0x[0-9a-f]+$" \
	fuzz --input seeds/flow other

# Under TCG xlfork_start() reads all ones, and asks again.
ok "a full fork of it" did fork-vm target
copy=$(cat out)
ok "... runs" until_ok matches ' running ' list "$copy"
ok "... and waits as well" until_ok frozen_in_program "$copy"
ok "... so that it can be fuzzed" \
	matches '^reason   harness: stop$' fuzz --input seeds/flow "$copy"
ok "... and destroyed" did destroy "$copy"

range=$(nm -S xf/fuzz-target | awk '$4 ~ /^yaml_parser_/ {
	printf "%s0x%s+0x%s", sep, $1, $2; sep = "," }')
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_ALLOW_TMP=1
export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_FORKSRV_INIT_TMOUT=60000
fuzzer() { # DIRECTORY WORD...
	local directory=$1
	shift
	exec afl-fuzz -i seeds -o "$directory" -t 5000 "$@" -- "$xlfork" fuzz \
		--coverage block --range "$range" target >out 2>err
}
amount=(-E 2000)
[ -z "${LF_SOAK-}" ] || amount=(-V 600)
(fuzzer found -s 1 "${amount[@]}")
ok "afl-fuzz runs on libyaml in the guest" [ $? = 0 ]
stat_of() { sed -nE "s/^$1 *: *([0-9.]+).*/\1/p" found/default/fuzzer_stats; }
ok "... finds new inputs" [ "$(stat_of corpus_found)" -gt 0 ]
ok "... at a stability of 100 %" [ "$(stat_of stability)" = 100.00 ]

# In afl-fuzz's own process; files that options name are beside them.
mkdir inside
{
	echo target
	echo --coverage block --blocks blocks
} >inside/options
tr , '\n' <<<"$range" | sed 's/+.*//' >inside/blocks
reason=$(why_not_inside)
if [ -z "$reason" ]; then
	ok "afl-fuzz -X runs on it" inside seeds found "$dir/inside" -t 5000 -E 2000
	ok "... finds new inputs" [ "$(stat_of corpus_found)" -gt 0 ]
	ok "... at a stability of 100 %" [ "$(stat_of stability)" = 100.00 ]
	echo nobody --coverage block --blocks blocks >inside/options
	ok "a domain that is not there is refused in a line" refused_inside \
		"no domain has the id or name 'nobody'" seeds "$dir/inside"
else
	count=$((count + 1))
	echo "ok $count # SKIP -X: $reason"
fi

# Killed while it holds the snapshot.
fuzzer killed &
fuzzer=$!
ok "a fuzzer holds the snapshot" until_ok [ -e killed/default/fuzzer_stats ]
refuses "unpause until it is gone" ".*its snapshot is held by process [0-9]+; end it first" unpause target
kill -KILL $fuzzer
wait $fuzzer 2>/dev/null
ok "it is killed: the guest can go on" until_ok did unpause target
ok "... and waits in xlfork_start() still" did freeze target

# Killed at any time: every second one before anybody knows how far it came.
times=10
[ -z "${LF_SOAK-}" ] || times=100
# The target's processes, by their forkd: other tests have the same program.
targets() {
	local environ
	grep -lszF "FORKD_RUN_DIR=$FORKD_RUN_DIR" /proc/[0-9]*/environ |
		while read -r environ; do
			[ "$(readlink "${environ%environ}exe")" != "$xlfork" ] ||
				echo "$environ"
		done
}
nobody_fuzzes() { [ -z "$(targets)" ]; }
kill_fuzzer() { # ROUND
	local pid memory
	rm -rf killed
	fuzzer killed &
	pid=$!
	if [ $(($1 % 2)) = 1 ]; then
		until_ok [ -e killed/default/fuzzer_stats ] &&
			! nobody_fuzzes || return
	fi
	sleep "0.$((RANDOM % 9))$((RANDOM % 10))"
	kill -KILL $pid
	wait $pid 2>/dev/null
	# What it made before it had a target to leave it to.
	until_ok nobody_fuzzes || return
	for memory in $(ipcs -mp | awk -v pid=$pid '$3 == pid { print $1 }'); do
		ipcrm -m "$memory"
	done
}
kill_fuzzers() {
	local i
	for i in $(seq $times); do
		kill_fuzzer "$i" || return
	done
}
x list >before
ok "killed $times times: no target is left" kill_fuzzers
ok "... forkd's list is as it was" prints "$(cat before)" list
ok "... and nobody holds the snapshot" did unpause target

ok "destroy" did destroy -r target
ok "... the other" did destroy other
echo "1..$count"
