#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every function of the public headers has a manual page, and the pages are
# sound. TAP on standard output.
set -u
: "${top_srcdir:?}"
cd "$top_srcdir" || exit 1
echo "1..2"

missing=
for header in libfork/include/libfork/*.h; do
	for name in $(tr '\n' ' ' <"$header" |
		grep -oE 'LF_API[^;]*;' | grep -oE '\blf_[a-z_]+ ?\(' |
		tr -d ' ('); do
		grep -qE "^\.(Nm|Fn|Fo) $name\b" docs/man/*.3 ||
			missing="$missing $name"
	done
done
if [ -z "$missing" ]; then
	echo "ok 1 - every function has a manual page"
else
	echo "not ok 1 - every function has a manual page; missing:$missing"
fi

if ! command -v mandoc >/dev/null; then
	echo "ok 2 # SKIP no mandoc"
elif lint=$(mandoc -T lint -W warning docs/man/*.3); then
	echo "ok 2 - the pages are sound"
else
	echo "# ${lint//$'\n'/$'\n'# }"
	echo "not ok 2 - the pages are sound"
fi
