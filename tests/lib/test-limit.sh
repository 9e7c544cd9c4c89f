#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every test runs under tests/lib/limit: what hangs is ended with all that it has
# started, and the log says so.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
limit=$top_builddir/tests/lib/limit
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
why() { cat said 2>/dev/null; }

# run SECONDS COMMAND...: its exit status, its output in the file "said".
run() {
	"$limit" "$@" >said 2>&1
	echo $?
}
# shellcheck disable=SC2317 # called through ok
gone() { ! kill -0 "$(cat "$1")" 2>/dev/null; }
# until_ok TEST...: within half a minute.
until_ok() {
	for _ in $(seq 600); do
		"$@" && return
		sleep 0.05
	done
	return 1
}

# A daemon that does not want to end, and whose number is in a file.
cat >daemon <<'END'
trap '' HUP INT TERM
echo $$ >"$1.new"
mv "$1.new" "$1"
while :; do sleep 1000; done
END
# shellcheck disable=SC2016 # expanded by the shell that is limited
begin='setsid bash daemon "$0" & until [ -e "$0" ]; do sleep 0.01; done; '

ok "an exit status is passed on" [ "$(run 100 sh -c 'echo hello; exit 7')" = 7 ]
ok "... and the output is the command's alone" [ "$(cat said)" = hello ]
ok "a signal is told as a shell does" [ "$(run 100 sh -c 'kill -KILL $$')" = 137 ]
ok "a command that is not there" [ "$(run 100 ./nothing)" = 125 ]
ok "usage" [ "$(run nothing true)" = 125 ]

ok "the time is over" [ "$(run 3 bash -c \
	'trap "echo cleaned up; exit 3" TERM; while :; do sleep 1000; done')" = 124 ]
ok "... which is said" grep -qx '# no end after 3 seconds' said
ok "... a trap has run" grep -qx 'cleaned up' said
ok "... nothing had to be killed" [ "$(grep -c 'by force' said)" = 0 ]

ok "the time is over, and a daemon does not end" [ \
	"$(run -g 1 3 bash -c "$begin sleep 1000" stubborn)" = 124 ]
ok "... it is killed" gone stubborn
ok "... and named" grep -qE \
	"^# ended by force:.* bash \($(cat stubborn)\)" said

ok "a daemon is left at the end" [ \
	"$(run -g 1 100 bash -c "$begin exit 5" left)" = 5 ]
ok "... it is killed" gone left
ok "... and named" grep -qE "^# ended by force:.* bash \($(cat left)\)" said
ok "one that ends soon is waited for" [ "$(run 100 sh -c \
	'(sleep 0.2; echo late) & exit 5')" = 5 ]
ok "... in peace" [ "$(cat said)" = late ]

"$limit" -g 1 100 bash -c "$begin sleep 1000" orphan >said 2>&1 &
until_ok [ -e orphan ]
kill $!
wait $!
ok "told to end, all of it ends" [ $? = 143 ]
ok "... which is said" grep -qx '# ended by signal 15' said
ok "... the daemon is killed" gone orphan

# shellcheck disable=SC2016 # expanded by the inner shell
bash -c '"$@" & wait' caller "$limit" -g 1 100 bash -c "$begin sleep 1000" alone \
	>said 2>&1 &
until_ok [ -e alone ]
disown
kill -KILL $!
ok "with its caller dead all ends, too" until_ok gone alone

echo "1..$count"
exit "$failed"
