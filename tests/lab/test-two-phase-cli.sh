#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs two-phase-cli where kernel code runs natively under KVM: here if this
# host's KVM is hardware's, else in the lab.
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
here=$(dirname "$0")
"$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" linux >&2 || {
	echo "1..0 # SKIP no guest"
	exit 0
}
if "$top_builddir/xlfork/xlfork" doctor |
	grep -qE '^[a-z]+ +KVM +hardware'; then
	exec bash "$here/two-phase-cli"
fi
"$top_srcdir/tests/lab/run" --timeout 1200 --memory 3072 \
	bash "$here/two-phase-cli"
status=$?
[ "$status" != 77 ] || echo "1..0 # SKIP no lab here"
[ "$status" != 77 ] || exit 0
exit "$status"
