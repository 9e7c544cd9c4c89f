#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A Linux guest under KVM is stopped at an address by the method for a KVM
# that reports no breakpoints, which the lab's is: the test of tests/tcg, run
# there.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"

echo 1..1
name='a guest under KVM stops where it is told'
"$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" linux lab >&2
status=$?
if [ "$status" = 77 ]; then
	echo "ok 1 - $name # SKIP there is no kernel to boot"
	exit 0
fi
[ "$status" = 0 ] || exit "$status"
output=$("$top_srcdir/tests/lab/run" --timeout 600 env LF_GUEST_ACCEL=kvm \
	"top_srcdir=$top_srcdir" "top_builddir=$top_builddir" \
	"$top_builddir/tests/tcg/test_run_until" 2>&1)
status=$?
case $status in
0) echo "ok 1 - $name" ;;
77) echo "ok 1 - $name # SKIP ${output#*skipped: }" ;;
*)
	echo "not ok 1 - $name (status $status)"
	printf '%s\n' "$output" | sed 's/^/# /'
	;;
esac
