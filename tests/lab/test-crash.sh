#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tests/cli/test-crash.sh where kernel code runs natively under KVM: in the lab.
# Where this host's KVM is hardware's it has run like that already.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
if "$top_builddir/xlfork/xlfork" doctor |
	grep -qE '^[a-z]+ +KVM +hardware'; then
	echo "1..0 # SKIP it is tests/cli/test-crash.sh here"
	exit 0
fi
"$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" bootless >&2 || {
	echo "1..0 # SKIP no guest"
	exit 0
}
"$top_srcdir/tests/lab/run" --timeout 1800 --memory 2048 \
	bash "$top_srcdir/tests/cli/test-crash.sh"
status=$?
[ "$status" != 77 ] || echo "1..0 # SKIP no lab here"
[ "$status" != 77 ] || exit 0
exit "$status"
