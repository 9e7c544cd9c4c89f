#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# afl-fuzz -X: xlfork in afl-fuzz's own process. To be sourced; `dir` is the
# test's directory, where a copy of the module is put, by whose name it can be
# found in processes that are left over.
: "${top_builddir:?}" "${dir:?}"
module=$top_builddir/xlfork/.libs/libnyx.so

# Prints why it cannot be tested here, or nothing.
why_not_inside() {
	if [ ! -f "$module" ]; then
		echo "built without shared libraries"
	elif [ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ]; then
		echo "AFL++ needs a second core for it"
	else
		cp "$module" "$dir/libnyx.so"
	fi
}

# inside SEEDS OUT SHARE WORD...: afl-fuzz WORD... SHARE; what it says is in the
# file `log`. AFL++ insists on a core of its own: one that no process is bound
# to, which others may keep for a while.
inside() {
	local seeds=$1 out=$2 share=$3 status tries
	shift 3
	for tries in $(seq 60); do
		rm -rf "$out"
		(
			unset AFL_NO_AFFINITY
			export AFL_TRY_AFFINITY=1
			AFL_PATH=$dir exec timeout 300 afl-fuzz -X -s 1 \
				-i "$seeds" -o "$out" "$@" -- "$share"
		) >"$dir/log" 2>&1
		status=$?
		grep -qa 'Nyx CPU ID is not set' "$dir/log" || break
		echo "# no core is free ($tries)"
		sleep 1
	done
	return $status
}

# refused_inside TEXT SEEDS SHARE: it says so in a line, and afl-fuzz gives up.
refused_inside() {
	! inside "$2" "$dir/refused" "$3" &&
		[ "$(grep -ac '^xlfork: ' "$dir/log")" = 1 ] &&
		grep -qaF "xlfork: $1" "$dir/log" &&
		grep -qa 'PROGRAM ABORT' "$dir/log"
}
