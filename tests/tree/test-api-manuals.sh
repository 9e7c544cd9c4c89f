#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every function of the public headers has a manual page, and the pages are
# sound; types and prototypes are the headers'. TAP on standard output.
set -u
: "${top_srcdir:?}"
cd "$top_srcdir" || exit 1
echo "1..4"

result() { # NUMBER NAME FOUND: nothing is to be found
	if [ -z "$3" ]; then
		echo "ok $1 - $2"
	else
		echo "# ${3//$'\n'/$'\n'# }"
		echo "not ok $1 - $2"
	fi
}

missing=
for header in libfork/include/libfork/*.h; do
	for name in $(tr '\n' ' ' <"$header" |
		grep -oE 'LF_API[^;]*;' | grep -oE '\blf_[a-z_]+ ?\(' |
		tr -d ' ('); do
		grep -qE "^\.(Nm|Fn|Fo) $name\b" docs/man/*.3 ||
			missing="$missing $name"
	done
done
result 1 "every function has a manual page" "$missing"

if command -v mandoc >/dev/null; then
	result 2 "the pages are sound" "$(mandoc -T lint -W warning docs/man/*.3)"
else
	echo "ok 2 # SKIP no mandoc"
fi

if command -v python3 >/dev/null; then
	result 3 "they declare what the headers declare" \
		"$(python3 tests/tree/api-manuals 2>&1)"
else
	echo "ok 3 # SKIP no python3"
fi

result 4 "no text speaks of a function that there is not" "$(
	grep -hoE '\blf_[a-z0-9_]+\(|^\.(Fn|Fo|Xr) lf_[a-z0-9_]+' \
		libfork/include/libfork/*.h docs/man/*.3 docs/*.md docs/*.[0-9] README.md |
		sed -E 's/\($//; s/^\... //' | sort -u |
		grep -vxF -f <(sed -nE 's/^[[:space:]]*(lf_[a-z0-9_]+);.*/\1/p' \
			libfork/libfork.map; basename -s .3 docs/man/*.3) |
		grep -v '_fn$')"
