#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs docs/examples, which were linked with libfork.so as a user's program is.
set -u
: "${top_builddir:?}"
cd "$top_builddir" || exit 1
echo "1..2"
if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
	echo "ok 1 # SKIP no usable /dev/kvm"
	echo "ok 2 # SKIP no usable /dev/kvm"
	exit 0
fi

count=2000
[ -z "${LF_SOAK-}" ] || count=100000

# check NUMBER NAME PATTERN COMMAND...: the output has the pattern.
check() {
	local number=$1 name=$2 pattern=$3 output
	shift 3
	if output=$("$@" 2>&1) && grep -qE "$pattern" <<<"$output"; then
		echo "ok $number - $name"
	else
		echo "# ${output//$'\n'/$'\n'# }"
		echo "not ok $number - $name"
	fi
}

check 1 "reset prints its rate" \
	'^[0-9]+ a second; the last one ended in: port write$' \
	docs/examples/reset "$count"
check 2 "generations know where they began" \
	'^generation 3 stands at 400, began at 300$' \
	docs/examples/generations
