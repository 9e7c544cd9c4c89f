#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# xlfork fuzz with probes: block and edge coverage of a program as it is,
# sinks, stops, reports of crashes; alone and under afl-fuzz. TAP on standard
# output.
set -u
: "${top_srcdir:?}" "${top_builddir:?}"
programs=$top_builddir/tests/guest/fuzz
dir=$(mktemp -d "${TMPDIR:-/tmp}/xlfork-probes.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
[ -f "$programs/bugs.elf" ] ||
	skip_all "the programs were not built (packages clang, libstb-dev)"
[ -w /dev/kvm ] || skip_all "no /dev/kvm that this user may use"

export LD_LIBRARY_PATH=$top_builddir/libfork/.libs
xlfork=$top_builddir/xlfork/.libs/xlfork
[ -x "$xlfork" ] || xlfork=$top_builddir/xlfork/xlfork

why() { tail -n 15 "$dir/log" | sed 's/\x1b\[[0-9;?]*[A-Za-z]//g'; }
fuzz() {
	timeout 60 "$xlfork" fuzz --program "$programs/bugs.elf" "$@" \
		>"$dir/log" 2>&1
}
covered() {
	sed -nE 's/^covered +([0-9]+) .*/\1/p' "$dir/log"
}

echo "1..12"
mkdir "$dir/in"
printf 'words' >"$dir/in/plain"
printf 'TEST5678!' >"$dir/in/test"
printf 'TEST5678! again' >"$dir/in/test2"
printf 'NULL' >"$dir/in/null"
printf 'OVER0123456789012345678901234567890123456789' >"$dir/in/over"
printf 'LOOP' >"$dir/loop"

fuzz --coverage block --range parse,memcmp --input "$dir/in/plain"
blocks=$(covered)
[ "${blocks:-0}" -gt 8 ]
result $? "block coverage counts the blocks of named functions"
fuzz --coverage edge --range parse,memcmp --input "$dir/in/plain"
edges=$(covered)
[ "${edges:-0}" -ge "${blocks:-0}" ]
result $? "edge coverage counts at least as many edges"

printf 'parse # a function\n\n0x4018a0\nguest_main\n' >"$dir/list"
sed -i "s/0x4018a0/$(nm "$programs/bugs.elf" | sed -n 's/^0*\([0-9a-f]*\) . parse$/0x\1/p')/" "$dir/list"
fuzz --coverage block --blocks "$dir/list" --input "$dir/in/plain"
[ "$(covered)" = 2 ]
result $? "a list of blocks is what is counted (and the map's first byte)"

fuzz --coverage none --sink parse --input "$dir/in/plain"
[ $? = 1 ] && grep -q '^result *crash$' "$dir/log" &&
	grep -q '^reason *sink: parse$' "$dir/log"
result $? "a sink is a crash"
fuzz --coverage none --stop parse --input "$dir/in/null" &&
	grep -q '^reason *stop: parse' "$dir/log"
result $? "a stop ends a run in order"

fuzz --coverage none --replay "$dir/in" --reports "$dir/reports"
reports=("$dir"/reports/*.txt)
[ "${#reports[@]}" = 3 ]
result $? "one report for each bug, not for each input"
grep -q '^Crash: harness: assertion failed' "$dir"/reports/*.txt &&
	grep -q ' => parse+0x.*: mov dword ptr' "$dir"/reports/*.txt &&
	grep -q ' guest_main+0x' "$dir"/reports/*.txt
result $? "it shows what happened, the code and the callers"
cmp -s "$dir/in/test" "$(grep -l '^Crash: harness: assertion' \
	"$dir"/reports/*.txt | sed 's/txt$/input/')"
result $? "and keeps the first input that led to it"
python3 -c 'import json, sys
for name in sys.argv[1:]:
    report = json.load(open(name))
    assert name.endswith(report["id"] + ".json") and report["registers"]["rip"]
' "$dir"/reports/*.json >"$dir/log" 2>&1
result $? "the JSON reports are JSON"

fuzz --coverage block --range no_such_function --input "$dir/in/plain"
[ $? = 1 ] && grep -q "no_such_function" "$dir/log" &&
	[ "$(wc -l <"$dir/log")" = 1 ]
result $? "a function that is not there is one line and status 1"

if ! command -v afl-fuzz >/dev/null; then
	echo "ok 11 # SKIP no AFL++ (package afl++)"
	echo "ok 12 # SKIP no AFL++ (package afl++)"
else
	export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_ALLOW_TMP=1
	export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1
	export AFL_FORKSRV_INIT_TMOUT=60000
	mkdir "$dir/seeds"
	printf 'TEST5678 ' >"$dir/seeds/test"
	AFL_BENCH_UNTIL_CRASH=1 timeout 300 afl-fuzz -s 1 -i "$dir/seeds" \
		-o "$dir/out" -t 3000 -V 240 -- \
		"$xlfork" fuzz --program "$programs/bugs.elf" \
		--coverage block --range parse,memcmp \
		>"$dir/log" 2>&1
	stats=$dir/out/default/fuzzer_stats
	grep -q '^stability *: 100.00' "$stats" 2>>"$dir/log" &&
		grep -q 'Crash: harness' "$dir"/out/default/reports/*.txt \
			2>>"$dir/log"
	result $? "afl-fuzz with block coverage: stable, and reports of crashes"
	# Not its 8 MiB, which it would clear and look through for each run.
	grep -qa 'Target map size: 65536' "$dir/log" &&
		timeout 100 afl-fuzz -i "$dir/seeds" -o "$dir/blind" -t 3000 \
			-E 100 -- "$xlfork" fuzz --coverage none \
			--program "$programs/bugs.elf" >"$dir/log" 2>&1 &&
		grep -qa 'Target map size: 4096' "$dir/log"
	result $? "afl-fuzz is told how much of its map is used"
fi
exit $failed
