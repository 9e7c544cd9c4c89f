#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `make install` puts in a system is all that somebody needs who has no
# source tree, `make uninstall` takes it all back, and `make dist` has every file.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS
why() { tail -n 20 "$dir/log"; }
quietly() { "$@" >"$dir/log" 2>&1; }
without() { # NAME WHAT
	count=$((count + 1))
	echo "ok $count - $1 # SKIP no $2"
}

build() { quietly make -C "$top_builddir" DESTDIR="$dir/root" "$@"; }
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")
root=$dir/root$prefix

ok "make install" build install
for file in bin/xlfork sbin/forkd lib/pkgconfig/libfork.pc lib/libfork.a \
	share/man/man1/xlfork.1 share/man/man8/forkd.8 share/man/man5/xlfork.cfg.5 \
	share/man/man3/libfork.3 include/libfork/libfork.h include/xlfork-harness.h \
	share/bash-completion/completions/xlfork lib/systemd/system/forkd.service \
	lib/systemd/system/forkd.socket; do
	ok "$file is there" test -s "$root/$file"
done
headers=$(cd "$top_srcdir/libfork/include/libfork" && echo *.h)
# shellcheck disable=SC2086 # a list
ok "every public header is, and no other" \
	[ "$(cd "$root/include/libfork" && echo *.h)" = "$headers" ]
ok "every manual page of libfork is" [ "$(ls "$root/share/man/man3")" = \
	"$(ls "$top_srcdir/docs/man")" ]

# Each header stands alone, also for C++.
cc=${CC-cc}
alone() {
	local header
	for header in "$root"/include/libfork/*.h; do
		echo "#include <libfork/$(basename "$header")>" |
			"$@" -Wall -Wextra -Werror -I "$root/include" \
				-fsyntax-only - >"$dir/log" 2>&1 || return 1
	done
}
ok "each header can be included alone" alone "$cc" -std=c11 -x c
if command -v clang >/dev/null; then
	ok "... from C++" alone clang -std=c++11 -x c++
else
	without "... from C++" clang
fi

# A program by pkg-config alone, as its head says.
flags() {
	PKG_CONFIG_PATH=$root/lib/pkgconfig pkg-config --define-prefix "$@" libfork
}
# shellcheck disable=SC2046 # flags are words
example() {
	quietly "$cc" -o "$dir/example" "$top_srcdir/docs/examples/reset.c" \
		$(flags --cflags) $(flags "$@") &&
		{ [ ! -w /dev/kvm ] || LD_LIBRARY_PATH=$root/lib quietly "$dir/example" 100; }
}
if grep -q '^SAN_CFLAGS = .*sanitize' "$top_builddir/Makefile"; then
	without "an example is built with it" "library without sanitizers"
elif [ ! -e "$root/lib/libfork.so" ]; then
	without "an example is built with it" "shared library"
else
	ok "an example is built with it, and runs" example --libs
	rm -f "$root"/lib/libfork.so*
	ok "... with the static library" example --static --libs
fi

ok "make uninstall" build uninstall
why() { find "$dir/root" ! -type d -o -name '*fork*'; }
ok "... leaves no file" [ -z "$(find "$dir/root" ! -type d ! -name 'libfork.so*')" ]
ok "... and no directory of ours" [ -z "$(find "$dir/root" -type d -name '*fork*')" ]

# Not in a distribution itself, nor where git does not trust the directory.
if git -C "$top_srcdir" ls-files 2>/dev/null | grep -q .; then
	ok "make distdir" build distdir distdir="$dir/dist"
	why() { cat "$dir/missing"; }
	git -C "$top_srcdir" ls-files | sort |
		comm -23 - <(cd "$dir/dist" && find . -type f | sed 's|^\./||' | sort) |
		grep -v '^\.gitignore$' >"$dir/missing"
	ok "every file is in it" [ ! -s "$dir/missing" ]
else
	without "make distdir" "repository"
fi
echo "1..$count"
