#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Lines of TAP for tests that are scripts, to be sourced. `failed` is 1 once a
# test has failed, `count` how many there were.
count=0
failed=0

skip_all() { # REASON
	echo "1..0 # SKIP $1"
	exit 0
}

# What explains the test that just failed; for scripts to replace.
why() { :; }

# result STATUS NAME: one line of the report.
result() {
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		why | sed 's/^/# /'
		# shellcheck disable=SC2034 # for who sources this
		failed=1
	fi
}

ok() { # NAME COMMAND...
	local name=$1
	shift
	if "$@"; then
		result 0 "$name"
	else
		result 1 "$name"
	fi
}
