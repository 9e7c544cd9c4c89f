#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# forkd(8) has every option and every command of the protocol, and no other.
# TAP on standard output.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
page=$top_srcdir/docs/forkd.8
echo 1..3

same() {
	if [ "$2" = "$3" ]; then
		echo "ok $1"
	else
		echo "not ok $1"
		diff <(echo "$2") <(echo "$3") | sed 's/^/# /'
	fi
}

same "1 - options" \
	"$("$top_builddir/forkd/forkd" --help | grep -oE '^  --[a-z-]+' |
		tr -d ' ' | grep -vE -- '--(help|version)' | sort)" \
	"$(sed -nE 's/^\.It Fl -([a-z-]+).*/--\1/p' "$page" | sort)"
same "2 - commands" \
	"$(sed -nE 's/^ *\[CONTROL_[A-Z_]+\] = \{"([a-z_-]+)".*/\1/p' \
		"$top_srcdir/libfork/control/messages.c" | sort)" \
	"$(sed -n '/^\.Sh PROTOCOL/,/^\.Sh ENV/p' "$page" |
		sed -nE 's/^\.Dq ([a-z_-]+)( .)?$/\1/p' |
		grep -vE '^(execute|arguments|id|return|error)$' | sort)"
if ! command -v mandoc >/dev/null; then
	echo "ok 3 # SKIP no mandoc"
elif lint=$(mandoc -T lint -W warning "$page"); then
	echo "ok 3 - the page is sound"
else
	echo "not ok 3 - the page is sound"
	echo "# ${lint//$'\n'/$'\n'# }"
fi
