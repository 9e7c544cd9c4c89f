#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds race.c and the engine with ThreadSanitizer, apart from the tree's own
# build, and runs it: a race is a failure. TAP on standard output.
set -u
: "${top_srcdir:?}" "${top_builddir:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$top_srcdir" || exit 1

sources=(libfork/base/*.c libfork/memory/*.c libfork/cpu/*.c libfork/insn/*.c
	libfork/kvm/*.c libfork/qemu/*.c libfork/qemu/cpuid_guest.S
	libfork/snapshot/*.c libfork/domain/*.c
	tests/lib/{micro,count,fault}.c tests/lib/micro_code.S tests/kvm/race.c)
flags=(-std=gnu11 -O1 -g -pthread -fsanitize=thread -D_GNU_SOURCE
	-I"$top_builddir" -I. -Ilibfork/include -Ilibfork -Itests)
read -ra compiler <<<"${CC:-gcc}"

skip() {
	echo "1..1"
	echo "ok 1 # SKIP $1"
	exit 0
}

# The kernel's address layout can be too random for the sanitizer.
echo 'int main(void){return 0;}' >"$work/try.c"
"${compiler[@]}" -fsanitize=thread "$work/try.c" -o "$work/try" 2>/dev/null ||
	skip "the compiler has no ThreadSanitizer"
"$work/try" 2>/dev/null || skip "ThreadSanitizer does not start here"


# One object per source, as many at a time as there are processors.
build() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I{} bash -c \
		'out=$1/$(tr / _ <<<"$2").o; shift 2; exec "$@" -o "$out"' \
		build "$work" {} "${compiler[@]}" "${flags[@]}" -c {} &&
		"${compiler[@]}" -fsanitize=thread -pthread "$work"/*.o \
			-ljansson -lcapstone -o "$work/race"
}
if ! build >&2; then
	echo "1..1"
	echo "not ok 1 - building with ThreadSanitizer"
	exit 1
fi
TSAN_OPTIONS="halt_on_error=1 exitcode=66" timeout 300 "$work/race"
status=$?
[ $status -eq 0 ] || echo "not ok 1 - ThreadSanitizer or time-out ($status)"
exit $status
