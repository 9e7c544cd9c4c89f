#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tests of kvm/ that need kernel-mode guest code to run natively, in the
# lab: one machine for all of them, their results as one TAP stream. Where the
# host's own KVM is like that they have run natively already, and run here too.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
programs=(test_access test_state test_clocks test_moments test_chips test_interrupts
	test_halted test_engine test_engine_exits test_engine_groups
	test_engine_forks test_engine_threads)

# Long loops are shorter there: everything in it is interpreted.
export LF_COUNT_DIVISOR=100

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# shellcheck disable=SC2016 # expanded in the lab
"$top_srcdir/tests/lab/run" --smp 2 --memory 1024 --timeout 600 -- bash -c '
	cd "$1" && shift
	for program; do
		echo "program $program"
		"tests/kvm/$program" --tap=- 2>&1
		echo "status $?"
	done' lab "$top_builddir" "${programs[@]}" >"$log" 2>&1
status=$?

if [ "$status" = 77 ]; then
	echo "1..0 # SKIP $(sed -n 's/^skipped: //p' "$log")"
	exit 0
fi

awk -v count="${#programs[@]}" -v lab="$status" '
	# result OK TEXT: one numbered line.
	function result(ok, text) {
		printf "%s %d - %s\n", ok ? "ok" : "not ok", ++n, text
		if (!ok)
			failed++
	}
	$1 == "program" { program = $2; next }
	$1 == "status" {
		ended++
		if ($2 != 0 && failed == before)
			result(0, program " ended with status " $2)
		before = failed
		next
	}
	/^(not )?ok / {
		text = $0
		sub(/^(not )?ok [0-9]* *-? */, "", text)
		result($1 == "ok", program ": " text)
		next
	}
	!/^(1\.\.|TAP version)/ { print "# " $0 }
	END {
		result(lab == 0 && ended == count,
		    "the lab ran all programs (status " lab ")")
		printf "1..%d\n", n
	}' "$log"
