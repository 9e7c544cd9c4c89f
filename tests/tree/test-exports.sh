#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The version map, the public headers and the built library name the same
# functions: one that is missing from the map is silently not exported. Each is
# called in some test or example.
set -eu
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat "$top_srcdir"/libfork/include/libfork/*.h |
	tr '\n' ' ' | sed 's@/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/@@g' | tr ';' '\n' |
	sed -nE 's/.*LF_API[^(]*[ *](lf_[a-z0-9_]+)\(.*/\1/p' | sort -u >"$dir/headers"
sed -nE 's/^[[:space:]]*(lf_[a-z0-9_]+);.*/\1/p' \
	"$top_srcdir/libfork/libfork.map" | sort >"$dir/map"

echo 1..4
number=0
same() {
	number=$((number + 1))
	if diff "$2" "$3" >"$dir/diff"; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		sed 's/^/# /' "$dir/diff"
	fi
}
same "headers and version map name the same functions" \
	"$dir/headers" "$dir/map"
uniq "$dir/map" >"$dir/once"
same "the map names each once, in order" "$dir/map" "$dir/once"
if [ -f "$top_builddir/libfork/.libs/libfork.so" ]; then
	nm -D --defined-only "$top_builddir/libfork/.libs/libfork.so" |
		sed -nE 's/.* [TDB] ([a-z0-9_]+)@.*/\1/p' | sort >"$dir/library"
	same "the library exports these and nothing else" \
		"$dir/map" "$dir/library"
else
	echo "ok 3 - the library exports these # SKIP built without shared libraries"
fi

# A comment is no call; DEFINE_CLEANUP() is one.
cat "$top_srcdir"/tests/*/*.[ch] "$top_srcdir"/docs/examples/*.c |
	sed -E 's@//.*|^[[:space:]]*/?\*.*@@; s/DEFINE_CLEANUP\(.*, (lf_[a-z0-9_]+)\)/\1(/' |
	grep -oE '\blf_[a-z0-9_]+\(' | tr -d '(' | sort -u |
	comm -12 - "$dir/map" >"$dir/called"
same "each is called in some test" "$dir/map" "$dir/called"
