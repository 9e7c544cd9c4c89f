#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
# What is left when xlfork is cut off: closed or full standard streams, readers
# that go away, Ctrl-C at any moment, a forkd that dies. Nothing hangs, nothing
# is printed into a file or socket that happens to have a stream's number, and
# what nobody was told of does not stay.
. "$(dirname "$0")/cli.sh"
program=$top_builddir/xlfork/.libs/xlfork
[ -x "$program" ] || program=$xlfork
export LD_LIBRARY_PATH=$top_builddir/libfork/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

bootless one >one.cfg
bootless pty pty >pty.cfg
did create one.cfg

# --- standard output: closed, full ---
# unwritten WHAT WORD...: fails, and says that it cannot write WHAT, and why.
unwritten() {
	local what=$1 status
	shift
	"$program" "$@" >/dev/full 2>err </dev/null
	status=$?
	[ $status = 1 ] && grep -qx "xlfork: cannot write $what: No space left on device" err ||
		return
	"$program" "$@" >&- 2>err </dev/null
	status=$?
	[ $status = 1 ] && grep -qx "xlfork: cannot write $what: Bad file descriptor" err
}
ok "list" unwritten "the table" list
ok "list --json" unwritten "the table" list --json
ok "info" unwritten "the answer" info one
ok "info --json" unwritten "to standard output" info --json one
ok "domid" unwritten "to standard output" domid one
ok "help" unwritten "to standard output" help
ok "--version" unwritten "to standard output" --version
ok "console" unwritten "the console's output" console one
for word in --help --version; do
	"$top_builddir/forkd/forkd" $word >/dev/full 2>err
	ok "forkd $word" [ $? = 1 -a -s err ]
done

# What is printed goes to nobody's socket, so forkd does not mind.
"$program" events >&- 2>err </dev/null &
events=$!
renames() {
	x rename one uno
	x rename uno one
	! kill -0 $events 2>/dev/null
}
ok "events with its output closed end" until_ok renames
ok "... and say why" grep -qx 'xlfork: cannot write the events: Bad file descriptor' err
"$program" pause nobody 2>&-
ok "an error that nobody sees is one" [ $? = 1 ]
did save-devstate one saved.1
"$program" save-devstate one saved.2 2>&- >&- <&-
ok "a file gets what belongs into it" cmp -s saved.1 saved.2

# --- a reader that goes ---
gone() { ! kill -0 "$1" 2>/dev/null; }
mkfifo pipe
"$program" events >pipe 2>err </dev/null &
events=$!
head -n 1 <pipe >first &
reads() {
	x rename one uno
	x rename uno one
	[ -s first ]
}
ok "events are read" until_ok reads
ok "... and end with their reader, when nothing more happens" until_ok gone $events
"$program" console one >pipe 2>err </dev/null &
console=$!
head -n 1 <pipe >first
ok "so does the console of a frozen guest, a file" until_ok gone $console
did create -p pty.cfg
"$program" console pty >pipe 2>err </dev/null &
console=$!
: <pipe
ok "... and a pty" until_ok gone $console
x destroy pty

# --- Ctrl-C ---
listed() { x list | awk 'NR > 1 { print $2 }' | tr '\n' ' '; }
leaves() { [ "$(listed)" = "$1" ]; }
bootless two >two.cfg
interrupt_create() {
	local i
	for i in 0.01 0.02 0.03 0.05 0.08 0.12 0.2; do
		timeout --signal=INT $i "$program" create two.cfg >out 2>err </dev/null
		[ ! -s out ] || x destroy two || return
		until_ok leaves 'one ' || return
	done
}
ok "a create that was interrupted leaves no domain" interrupt_create
interrupt_fork() {
	local i
	for i in 0.01 0.03 0.06 0.1 0.2 0.3; do
		timeout --signal=INT $i "$program" fork-vm -n 6 one >out 2>err </dev/null
		# shellcheck disable=SC2046 # ids
		[ ! -s out ] || x destroy $(cat out) || return
		until_ok leaves 'one ' || return
	done
}
ok "a fork-vm leaves none of its forks" interrupt_fork
interrupt_save() {
	local i
	for i in 0.005 0.01 0.015 0.02 0.03 0.05 0.08; do
		x unpause one 2>/dev/null
		timeout --signal=INT $i "$program" save-devstate one saved </dev/null
		[ "$(echo saved.part-*)" = 'saved.part-*' ] || return
	done
}
ok "a save-devstate leaves no part of a file" interrupt_save

# --- a forkd that dies ---
x version | sed -n 's/^forkd .*process //p' >pid
timeout 600 "$program" events >happened 2>err </dev/null &
events=$!
hears() {
	x rename one uno
	x rename uno one
	[ -s happened ]
}
until_ok hears
kill -KILL "$(cat pid)"
wait $events
ok "is an error of events" [ $? = 1 ]
ok "... that says so" grep -qx 'xlfork: forkd ended; the next command starts another' err
ok "... which adopts" until_ok leaves 'one '

# --- a forkd that cannot be asked is not one that does not run ---
FORKD_RUN_DIR=$dir/one.cfg/run "$program" version >out 2>err
[ $? = 1 ] && grep -q '^xlfork: cannot connect to forkd at .*Not a directory$' err
result $? "version says why it does not know"

# --- files: the mode of what was there, words that are none ---
chmod 600 saved.1
did save-devstate one saved.1
ok "a file that is written anew is as closed as before" [ "$(stat -c %a saved.1)" = 600 ]
refuses "an empty word is no file" "cannot write to '': an empty word is no file" \
	save-devstate one ''
refuses "... to write to" "cannot write to '': an empty word is no file" \
	config-convert one.cfg -o ''
refuses "... and no configuration" "cannot open '': an empty word is no configuration" \
	create ''
refuses "... and no name" "an empty word is no name" rename one ''
x destroy one
ok "no daemon is left" until_ok no_forkd
echo "1..$count"
