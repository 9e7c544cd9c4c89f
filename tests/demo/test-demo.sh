#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The demo runs to its end, which checks by itself what it shows: that the forks
# go on from the frozen tick, that the parent stands still, and that nothing is
# left behind.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
TMPDIR=$dir timeout 1200 bash "$top_srcdir/tests/demo/demo" "$top_builddir" \
	>"$dir/out" 2>&1 </dev/null
status=$?
if [ $status = 77 ]; then
	echo "1..0 # SKIP no guest: $(tail -n 1 "$dir/out")"
	exit 0
fi
echo 1..2
if [ $status = 0 ] && grep -q 'no file is left' "$dir/out"; then
	echo "ok 1 - the demo shows what it says"
else
	echo "not ok 1 - the demo shows what it says"
	sed 's/^/# /' "$dir/out"
fi
if [ "$(ls "$dir")" = out ]; then
	echo "ok 2 - its directory is gone"
else
	echo "not ok 2 - its directory is gone"
fi
