#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests of this folder share, to be sourced: xlfork with a forkd of the
# test's own, in a directory that goes with it, and lines of TAP. The current
# directory is that of the test. To be set before: `guest`, "linux" instead of
# firmware images; `seconds` that a command may take; `needs_kvm`.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
xlfork=$top_builddir/xlfork/xlfork
dir=$(mktemp -d /tmp/test-xlfork.XXXXXX)
export FORKD_RUN_DIR=$dir/run FORKD_STATE_DIR=$dir/state
export FORKD=$top_builddir/forkd/forkd
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"

clean_up() {
	local id
	for id in $(x list 2>/dev/null | awk 'NR > 1 { print $1 }'); do
		x destroy -r "$id" >/dev/null 2>&1
	done
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' INT TERM
x() { timeout "${seconds-120}" "$xlfork" "$@"; }

sh "$top_srcdir/tests/guest/make-guest" "$top_builddir/tests/guest" \
	"${guest-bootless}" >"$dir/log" 2>&1 ||
	skip_all "no guest: $(tail -n 1 "$dir/log")"
cd "$dir" || exit 1
[ "${guest-bootless}" != bootless ] ||
	cp "$top_builddir/tests/guest/bootless.bin" "$top_builddir/tests/guest/busy.bin" .
if [ -n "${needs_kvm-}" ]; then
	{ exec 9<>/dev/kvm; } 2>/dev/null || skip_all "no /dev/kvm, or no permission for it"
	exec 9>&-
	# QEMU's user may not be allowed to use KVM here; root is.
	if [ "$(id -u)" = 0 ]; then
		printf '#!/bin/sh\nexec "%s" --qemu-user root "$@"\n' "$FORKD" >forkd
		chmod 755 forkd
		FORKD=$dir/forkd
	fi
fi

why() { tail -qn 30 out err 2>/dev/null; }

# did WORD...: xlfork WORD... succeeds and says nothing on standard error.
did() {
	x "$@" >out 2>err </dev/null && [ ! -s err ]
}
prints() {
	local wanted=$1
	shift
	did "$@" && [ "$(cat out)" = "$wanted" ]
}
matches() {
	local pattern=$1
	shift
	did "$@" && grep -qE -- "$pattern" out
}
# fails PATTERN WORD...: exit status 1, and one line that matches the pattern.
fails() {
	local pattern=$1 status
	shift
	x "$@" >out 2>err </dev/null
	status=$?
	[ $status = 1 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
		grep -qE -- "^xlfork: $pattern" err
}
refuses() {
	ok "$1" fails "${@:2}"
}
# until_ok TEST...: within a minute, or longer where a test takes its time.
until_ok() {
	local i
	for i in $(seq 1200); do
		"$@" && return
		sleep 0.05
	done
	echo "# after $i tries" >&2
	return 1
}
# The boot-less guest, called NAME: bootless NAME [SERIAL].
bootless() {
	cat <<-EOF
		name = "$1"
		memory = 16
		firmware = "bootless.bin"
		accelerator = "tcg"
		serial = "${2-file:$dir/$1.console}"
	EOF
}
# The last number that a console in a file counted to.
counted() { tr -d '\r' <"$1" | sed -n 's/^tick \([0-9]*\)$/\1/p' | tail -n 1; }
counts_past() {
	local last
	[ -e "$1" ] && last=$(counted "$1") && [ "${last:-0}" -gt "$2" ]
}
# order DOMAIN WORD LETTER: the letter to the console of a busy guest, until it
# says WORD, a line that has ended: it may touch the device for its last letter.
ordered() { [ "$(tr -d '\r' <"said.$1" | sed -n "/^$2\$/p" | wc -l)" -gt 0 ]; }
order() {
	local status
	mkfifo orders
	timeout 600 "$xlfork" console "$1" <orders >"said.$1" 2>&1 &
	exec 9>orders
	until_ok grep -q tick "said.$1"
	printf '%s' "$3" >&9
	until_ok ordered "$1" "$2"
	status=$?
	exec 9>&-
	kill $! 2>/dev/null
	wait $! 2>/dev/null
	rm orders
	return $status
}
# A forkd that is asked again and again whether it is there stays.
no_forkd() {
	[ ! -e "$FORKD_RUN_DIR/socket" ] &&
		x version | grep -q '^forkd  not running'
}

# --- a guest's agent, by the domain's console (tests/guest/README.md) ---

# talk DOMAIN: opens its console; then say COMMAND, said PATTERN.
talk() {
	mkfifo "to.$1"
	"$xlfork" console "$1" <"to.$1" >"from.$1" 2>/dev/null &
	exec {to}>"to.$1"
	rm -f "to.$1"
	from=from.$1
	: >>"$from"
}
number=0
say() {
	number=$((number + 1))
	echo "$number $*" >&"$to"
}
answered() { grep -q "^$number=" "$from"; }
said() { tr -d '\r' <"$from" | grep -qE -- "$1"; }
ask() {
	say "$@"
	until_ok answered
}
