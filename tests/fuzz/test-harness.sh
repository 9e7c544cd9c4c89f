#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# xlfork-harness.h in a target's source, in C and in C++: no warning, and the
# functions that instrumented code calls have the names that it calls. TAP on
# standard output.
set -u
: "${top_srcdir:?}"
dir=$(mktemp -d "${TMPDIR:-/tmp}/xlfork-harness.XXXXXX")
trap 'rm -rf "$dir"' EXIT

cat >"$dir/target.c" <<'TARGET'
#define XLFORK_COVERAGE 65536
#include "xlfork-harness.h"
static unsigned char input[4096];
static struct xlfork_harness harness = XLFORK_HARNESS(input, sizeof(input));
int
main(void)
{
	if (xlfork_init() < 0)
		return 1;
	xlfork_coverage(&harness);
	if (xlfork_start(&harness) > xlfork_consumed(&harness, 1))
		xlfork_crash("it has become shorter");
	xlfork_stop();
	return 0;
}
TARGET
cp "$dir/target.c" "$dir/target.cc"

# compiles NUMBER NAME COMPILER SOURCE
compiles() {
	if ! command -v "$3" >/dev/null; then
		echo "ok $1 # SKIP no $3"
	elif "$3" -O1 -Wall -Wextra -Werror -I"$top_srcdir/libfork/fuzz" \
		-c -o "$dir/target.o" "$dir/$4" >"$dir/log" 2>&1 &&
		[ "$(nm "$dir/target.o" | grep -cE \
			' T __sanitizer_cov_trace_pc_guard(_init)?$')" = 2 ]; then
		echo "ok $1 - $2"
	else
		echo "not ok $1 - $2"
		sed 's/^/# /' "$dir/log"
		nm "$dir/target.o" 2>/dev/null | sed 's/^/# /'
	fi
}
echo "1..2"
compiles 1 "a target in C" cc target.c
compiles 2 "a target in C++" clang++ target.cc
