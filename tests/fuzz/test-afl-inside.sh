#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# afl-fuzz -X with xlfork's libnyx.so and programs without operating system, on
# any KVM: what is found, what a file of options says, what is refused. TAP on
# standard output.
set -u
: "${top_srcdir:?}" "${top_builddir:?}"
programs=$top_builddir/tests/guest/fuzz
dir=$(mktemp -d "${TMPDIR:-/tmp}/xlfork-inside.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
# shellcheck source=tests/lib/afl-inside.sh
. "$top_srcdir/tests/lib/afl-inside.sh"
command -v afl-fuzz >/dev/null || skip_all "no AFL++ (package afl++)"
[ -f "$programs/bugs.elf" ] ||
	skip_all "the programs were not built (packages clang, libstb-dev)"
[ -w /dev/kvm ] || skip_all "no /dev/kvm that this user may use"
reason=$(why_not_inside)
[ -z "$reason" ] || skip_all "$reason"
xlfork=$top_builddir/xlfork/.libs/xlfork
if grep -q __asan_init "$xlfork"; then
	skip_all "afl-fuzz takes a target with AddressSanitizer for another kind"
fi
export LD_LIBRARY_PATH=$top_builddir/libfork/.libs
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_ALLOW_TMP=1
export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1
# Without a forkd, and with none that could be started.
export FORKD_RUN_DIR=$dir/run FORKD=$dir/forkd
why() { tail -n 15 "$dir/log" | sed 's/\x1b\[[0-9;?]*[A-Za-z]//g'; }
stat_of() { # NAME
	sed -nE "s/^$1 *: *([0-9.]+).*/\1/p" "$dir/out/default/fuzzer_stats"
}

seeds=$dir/seeds
share=$dir/share
mkdir "$seeds" "$share" "$dir/empty" "$dir/broken"
printf 'TEST5678 ' >"$seeds/test"
printf 'NULM' >"$seeds/null"
cp "$programs/bugs.elf" "$share/program.elf"
echo 'no program' >"$dir/broken/program.elf"

# found NAME: a planted crash, with the program's own line and a report.
found() {
	local crash
	AFL_BENCH_UNTIL_CRASH=1 inside "$seeds" "$dir/out" "$share" -t 3000 -V 240
	[ "$(stat_of saved_crashes)" -ge 1 ] 2>/dev/null &&
		[ "$(stat_of stability)" = 100.00 ]
	result $? "afl-fuzz finds a planted crash, at a stability of 100 %: $1"
	crash=$(find "$dir/out/default/crashes" -name 'id:*' \
		! -name '*.log' -print -quit)
	! "$xlfork" fuzz --program "$programs/bugs.elf" --input "$crash" \
		>"$dir/log" 2>&1 &&
		grep -qxF "reason   $(cat "$crash.log")" "$dir/log"
	result $? "it is one for xlfork fuzz, for the reason beside it: $1"
	grep -qxF "Crash: $(cat "$crash.log")" "$dir"/out/default/reports/*.txt
	result $? "... of which there is a report: $1"
}
found "the program's own coverage"
cp "$programs/bugs.elf" "$share/bugs.elf"
cat >"$share/options" <<'OPTIONS'
# The program as it is, under another name.
--program bugs.elf	# in this directory
--coverage block --range parse,memcmp
OPTIONS
found "a program and block coverage by its options"
printf -- '--coverage edge --range parse' >"$share/options"
found "edge coverage"
grep -ls "$dir/libnyx.so" /proc/[0-9]*/maps >"$dir/log"
[ ! -s "$dir/log" ]
result $? "nothing is left when it has ended"
[ "$(nm -D --defined-only "$module" | grep -vc ' T nyx_')" = 0 ]
result $? "the module exports what afl-fuzz looks up and nothing else"

refuses() { # SHARE TEXT
	refused_inside "$2" "$seeds" "$1"
	result $? "refused: ${2#"'$dir/share/options': "}"
}
refuses "$dir/empty" "cannot open '$dir/empty/program.elf': No such file"
refuses "$dir/none" "cannot open '$dir/none/program.elf': No such file"
refuses "$dir/broken" "'$dir/broken/program.elf'"

# bad OPTIONS TEXT: a file that says so
bad() {
	printf '%b' "$1" >"$share/options"
	refuses "$share" "$2"
}
options="'$share/options':"
bad '--covrage block' "$options fuzz: unknown option '--covrage'; did you mean"
bad '--coverage' "$options fuzz: option '--coverage' needs a value"
bad '--coverage all' "$options fuzz: --coverage 'all' is not one of"
bad '--coverage none' "$options --coverage none is not for afl-fuzz -X"
bad '--coverage block' "$options fuzz: --coverage block of what?"
bad '--coverage block\n--range pars' "no symbol 'pars'"
bad '--input program.elf' "$options --input is not for afl-fuzz -X"
bad '--timeout 9' "$options --timeout is not for afl-fuzz -X: its -t is"
bad 'web --program x' "$options fuzz: a DOMAIN and --program are two targets"
bad 'web and' "$options fuzz: 'and' is one word too many"
bad '--range "parse"' "$options '\"parse\"': words have no quotes here"
bad 'a\0b' "$options it is no text"
bad '--program none.elf' "cannot open '$share/none.elf': No such file"
bad 'web' "forkd did not start: cannot start '$dir/forkd'"
rm "$share/options"
mkdir "$share/options"
refuses "$share" "$options '$share/options' is no file"
echo "1..$count"
exit "$failed"
