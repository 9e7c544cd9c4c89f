#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# AFL++'s programs with xlfork as their target: a real parser and planted bugs
# as programs without operating system, on any KVM. TAP on standard output.
set -u
: "${top_srcdir:?}" "${top_builddir:?}"
programs=$top_builddir/tests/guest/fuzz
dir=$(mktemp -d "${TMPDIR:-/tmp}/xlfork-afl.XXXXXX")
pids=()
# shellcheck disable=SC2317 # called by trap
cleanup() {
	local pid
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap cleanup EXIT

# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
command -v afl-fuzz >/dev/null || skip_all "no AFL++ (package afl++)"
[ -f "$programs/image.elf" ] ||
	skip_all "the image parser was not built (packages clang, libstb-dev)"
[ -w /dev/kvm ] || skip_all "no /dev/kvm that this user may use"

# A copy with a name of its own: what is left over can be found by it.
xlfork=$dir/xlfork-under-test
real=$top_builddir/xlfork/.libs/xlfork
[ -x "$real" ] || real=$top_builddir/xlfork/xlfork
if grep -q __asan_init "$real"; then
	skip_all "afl-fuzz takes a target with AddressSanitizer for another kind"
fi
cp "$real" "$xlfork"
export LD_LIBRARY_PATH=$top_builddir/libfork/.libs
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_ALLOW_TMP=1
export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_FORKSRV_INIT_TMOUT=60000
export AFL_HANG_TMOUT=3000

why() { tail -n 15 "$dir/log" | sed 's/\x1b\[[0-9;?]*[A-Za-z]//g'; }
stat_of() { # FILE NAME
	sed -nE "s/^$2 *: *([0-9.]+).*/\1/p" "$1"
}
# No process of ours that runs the program under test.
nothing_left() {
	local tries exe left
	for tries in $(seq 600); do
		left=
		for exe in /proc/[0-9]*/exe; do
			[ "$(readlink "$exe" 2>/dev/null)" = "$xlfork" ] &&
				left="$left $exe"
		done
		[ -z "$left" ] && return 0
		sleep 0.1
	done
	echo "left over after $tries tries:$left" >>"$dir/log"
	return 1
}

# Shared memory that a process made.
memory_of() { # PID
	ipcs -mp | awk -v pid="$1" '$3 == pid { print $1 }'
}

echo "1..18"
mkdir "$dir/seeds" "$dir/words"
# A PNG of one pixel.
printf '%b' '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82' \
	>"$dir/seeds/pixel.png"

timeout 300 afl-fuzz -i "$dir/seeds" -o "$dir/out" -t 3000 -E 3000 -- \
	"$xlfork" fuzz --program "$programs/image.elf" >"$dir/log" 2>&1
stats=$dir/out/default/fuzzer_stats
[ "$(stat_of "$stats" corpus_count)" -gt 5 ] 2>/dev/null
result $? "afl-fuzz finds new inputs from one seed"
[ "$(stat_of "$stats" stability)" = 100.00 ]
result $? "its stability is 100 %"
nothing_left
result $? "nothing is left when it has ended"

timeout 300 afl-showmap -o "$dir/map" -- "$xlfork" fuzz \
	--program "$programs/image.elf" <"$dir/seeds/pixel.png" >"$dir/log" 2>&1
[ "$(wc -l <"$dir/map")" -gt 20 ]
result $? "afl-showmap shows a seed's edges"
# shellcheck disable=SC2002 # a pipe is what is meant
cat "$dir/seeds/pixel.png" | timeout 300 afl-showmap -o "$dir/map.pipe" -- \
	"$xlfork" fuzz --program "$programs/image.elf" >"$dir/log" 2>&1
cmp -s "$dir/map" "$dir/map.pipe"
result $? "and the same when the seed comes by a pipe"
cp "$dir/seeds/pixel.png" "$dir/pixel"
timeout 300 afl-showmap -o "$dir/map.file" -- "$xlfork" fuzz \
	--program "$programs/image.elf" --input "$dir/pixel" \
	>"$dir/log" 2>&1 </dev/null
cmp -s "$dir/map" "$dir/map.file"
result $? "and when it is a file that --input names"

mkdir "$dir/queue"
find "$dir/out/default/queue" -maxdepth 1 -name 'id:*' | sort | head -n 20 |
	xargs cp -t "$dir/queue"
timeout 300 afl-cmin -t 3000 -i "$dir/queue" \
	-o "$dir/cmin" -- "$xlfork" fuzz --program "$programs/image.elf" \
	>"$dir/log" 2>&1
kept=$(find "$dir/cmin" -type f 2>/dev/null | wc -l)
[ "$kept" -gt 0 ] && [ "$kept" -le 20 ]
result $? "afl-cmin keeps a smaller corpus"

printf 'TEST5678!abcdefghijklmnop' >"$dir/long"
timeout 300 afl-tmin -t 3000 -i "$dir/long" -o "$dir/short" -- "$xlfork" fuzz \
	--program "$programs/bugs.elf" >"$dir/log" 2>&1
[ "$(head -c 4 "$dir/short" 2>/dev/null)" = TEST ] &&
	[ "$(wc -c <"$dir/short")" = 9 ]
result $? "afl-tmin cuts a crashing input down to what crashes"

# Crashes are what they are.
printf 'TEST5678 ' >"$dir/words/test"
printf 'NULM' >"$dir/words/null"
AFL_BENCH_UNTIL_CRASH=1 timeout 300 afl-fuzz -s 1 -i "$dir/words" -o "$dir/bugs" \
	-t 3000 -V 240 -- \
	"$xlfork" fuzz --program "$programs/bugs.elf" >"$dir/log" 2>&1
stats=$dir/bugs/default/fuzzer_stats
[ "$(stat_of "$stats" saved_crashes)" -ge 1 ] 2>/dev/null
result $? "afl-fuzz finds a planted crash"
if "$xlfork" fuzz --program "$programs/bugs.elf" \
	--replay "$dir/bugs/default/crashes" >"$dir/log" 2>&1; then
	false
else
	grep -q '^0 ok, [1-9][0-9]* crashes, 0 hangs' "$dir/log"
fi
result $? "every crash that it saved crashes again"

# A word that only the dictionary has.
mkdir "$dir/blank"
printf '0123456789' >"$dir/blank/digits"
printf 'word="TEST5678!"\n' >"$dir/dictionary"
AFL_BENCH_UNTIL_CRASH=1 timeout 300 afl-fuzz -D -x "$dir/dictionary" -s 1 \
	-i "$dir/blank" -o "$dir/words.out" -t 3000 -V 240 -- \
	"$xlfork" fuzz --program "$programs/bugs.elf" >"$dir/log" 2>&1
[ -n "$(find "$dir/words.out/default/crashes" -name 'id:*,op:ext_*')" ]
result $? "afl-fuzz finds a crash by a word of its dictionary (-x)"

printf 'LOOP' >"$dir/loop"
timeout 300 afl-showmap -t 500 -o "$dir/map" -- "$xlfork" fuzz \
	--program "$programs/bugs.elf" <"$dir/loop" >"$dir/log" 2>&1
grep -q 'timed off' "$dir/log"
result $? "an endless loop is a time-out for AFL++"
nothing_left
result $? "nothing is left after it"

# Two that share what they find.
timeout 300 afl-fuzz -M one -i "$dir/seeds" -o "$dir/pair" -t 3000 -E 1500 -- \
	"$xlfork" fuzz --program "$programs/image.elf" >"$dir/log" 2>&1 &
pids+=($!)
timeout 300 afl-fuzz -S two -i "$dir/seeds" -o "$dir/pair" -t 3000 -E 1500 -- \
	"$xlfork" fuzz --program "$programs/image.elf" >"$dir/log.two" 2>&1
wait "${pids[@]}"
pids=()
[ "$(stat_of "$dir/pair/one/fuzzer_stats" corpus_count)" -gt 1 ] &&
	[ "$(stat_of "$dir/pair/two/fuzzer_stats" corpus_count)" -gt 1 ]
result $? "-M and -S work side by side"

# Killed at any time: nothing is left, whatever it was doing.
times=10
[ -z "${LF_SOAK-}" ] || times=100
left=0
for i in $(seq $times); do
	afl-fuzz -i "$dir/words" -o "$dir/killed.$i" -t 3000 -- "$xlfork" fuzz \
		--program "$programs/bugs.elf" >"$dir/log" 2>&1 &
	pid=$!
	pids=("$pid")
	sleep "0.$((RANDOM % 9))$((RANDOM % 10))"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	sleep 0.2
	# What it made before it had a target to leave it to.
	for memory in $(memory_of "$pid"); do
		ipcrm -m "$memory"
	done
	rm -rf "$dir/killed.$i"
done
pids=()
nothing_left || left=1
result $left "afl-fuzz killed $times times: nothing is left"

# Killed while it fuzzes: what it shared with its target is gone as well.
afl-fuzz -i "$dir/words" -o "$dir/shared" -t 3000 -- "$xlfork" fuzz \
	--program "$programs/bugs.elf" >"$dir/log" 2>&1 &
pid=$!
pids=("$pid")
for _ in $(seq 1200); do
	[ ! -e "$dir/shared/default/fuzzer_stats" ] || break
	sleep 0.1
done
had=$(memory_of "$pid")
kill -KILL "$pid"
wait "$pid" 2>/dev/null
pids=()
nothing_left
kept=$(memory_of "$pid")
echo "shared memory before: ${had:-none}, after: ${kept:-none}" >>"$dir/log"
for memory in $kept; do
	ipcrm -m "$memory"
done
[ -n "$had" ] && [ -z "$kept" ]
result $? "afl-fuzz killed while it fuzzes: its shared memory is gone, too"

# What cannot begin says why, and AFL++ gives up at once. AFL_DEBUG_CHILD shows
# what a target says.
refused() { # TEXT WORD...
	local text=$1
	shift
	AFL_DEBUG_CHILD=1 timeout 300 afl-fuzz -i "$dir/words" -o "$dir/refused" \
		-- "$xlfork" fuzz --program "$programs/bugs.elf" "$@" \
		>"$dir/log" 2>&1
	grep -qa "^xlfork: $text" "$dir/log" &&
		grep -qa 'PROGRAM ABORT.*error code 255' "$dir/log"
}
refused "--sink: no symbol 'nowhere'" --sink nowhere &&
	refused 'input buffer of 9 bytes at 0x100000000000' \
		--buffer 0x100000000000 --max-size 9
result $? "a target that cannot begin says why before AFL++ gives up"

# SIGTERM to the target alone, while it waits for its fuzzer.
memory=$(ipcmk -M 65536 | grep -oE '[0-9]+$')
mkfifo "$dir/control" "$dir/status"
(
	exec 198<>"$dir/control" 199<>"$dir/status"
	export __AFL_SHM_ID=$memory
	exec "$xlfork" fuzz --program "$programs/bugs.elf" </dev/null
) 2>"$dir/log" &
pid=$!
pids=("$pid")
hello=$(timeout 120 head -c 4 "$dir/status" | od -An -tx4 | tr -d ' ')
kill -TERM "$pid"
wait "$pid" 2>/dev/null
status=$?
ipcrm -m "$memory"
pids=()
[ "$hello" = c001ffff ] && [ "$status" = 143 ] && nothing_left
result $? "introduces itself, and ends at SIGTERM"
exit $failed
