#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the targets, then runs fuzz-linux where kernel code runs
# natively under KVM: here if this host's KVM is hardware's, else in the lab. A
# short form of it; all of it with LF_MATRIX=1, with ten minutes for each afl-fuzz
# with LF_SOAK=1.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
here=$(dirname "$0")
target=$(realpath "$top_builddir")/tests/lab/fuzz-target

# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
command -v afl-fuzz >/dev/null || skip_all "no AFL++ (package afl++)"
[ -e /usr/include/yaml.h ] || skip_all "no libyaml (package libyaml-dev)"
command -v openssl >/dev/null || skip_all "no openssl to make certificates"
if grep -q __asan_init "$top_builddir/xlfork/.libs/xlfork" 2>/dev/null; then
	skip_all "afl-fuzz takes a target with AddressSanitizer for another kind"
fi
"$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" linux >&2 ||
	skip_all "no guest"
# Without a module with a bug the kernel only panics when asked to.
NO_MODULE=$("$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" oops)
case $? in
0) ;;
77) export NO_MODULE=${NO_MODULE#skipped: } ;;
*) exit 1 ;;
esac
mkdir -p "${target%/*}"
"${CC:-cc}" -O1 -g -static -I"$top_srcdir/libfork/fuzz" -o "$target" \
	"$top_srcdir/tests/lab/fuzz_target.c" -lyaml || exit
if "$top_builddir/xlfork/xlfork" doctor |
	grep -qE '^[a-z]+ +KVM +hardware'; then
	exec bash "$here/fuzz-linux" "$target"
fi
timeout=900
[ -z "${LF_SOAK-}" ] || timeout=7200
"$top_srcdir/tests/lab/run" --timeout "$timeout" --memory 3072 \
	bash "$here/fuzz-linux" "$target"
status=$?
[ "$status" != 77 ] || skip_all "no lab here"
exit "$status"
