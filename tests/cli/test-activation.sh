#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# forkd as systemd starts it: with a listening socket that is there before and
# after it, so that no command is lost while one forkd follows another.
# shellcheck disable=SC1091,SC2153,SC2154,SC2317 # what is in cli.sh
. "$(dirname "$0")/cli.sh"
command -v python3 >/dev/null || skip_all "no python3"

cat >one.cfg <<EOF
name = "one"
memory = 16
firmware = "bootless.bin"
accelerator = "tcg"
serial = "file:$dir/one.console"
EOF

# The part of systemd that matters: the socket, and a forkd after each line.
mkdir -m 700 run
cat >systemd.py <<'EOF'
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["FORKD_RUN_DIR"] + "/socket")
listener.listen(5)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
        os.execv(os.environ["FORKD"], ["forkd"])
    with open("pid.new", "w") as f:
        print(pid, file=f)
    os.rename("pid.new", "pid")
    os.waitpid(pid, 0)
    os.rename("pid", "ended")
EOF
mkfifo orders
timeout 600 python3 systemd.py <orders >log 2>&1 &
systemd=$!
exec 8>orders
until_ok test -S run/socket
inode=$(stat -c %i run/socket)
started() { echo start >&8 && until_ok test -e pid; }
ended() { kill -TERM "$(cat pid)" && until_ok test -e ended && rm ended; }

# Nobody serves it yet: the command waits for the forkd that comes.
timeout 120 "$xlfork" create one.cfg >created 2>err &
create=$!
ok "forkd is started with a socket" started
ok "a command that came before it is served" wait $create
one=$(cat created)
ok "the guest counts" until_ok counts_past one.console 2
ok "list" matches "^ *$one one +running" list
ok "it ends when it is told to" ended
ok "... and leaves the socket" test -S run/socket
ok "... as it was" [ "$(stat -c %i run/socket)" = "$inode" ]
last=$(counted one.console)
ok "the guest counts on" until_ok counts_past one.console "$last"
timeout 120 "$xlfork" domid one >found 2>err &
domid=$!
ok "another forkd follows" started
ok "a command that came in between is served" wait $domid
ok "... by who has taken the domain over" [ "$(cat found)" = "$one" ]
ok "destroy" did destroy one
ok "nothing is left" prints '' list
ok "it ends" ended
exec 8>&-
wait $systemd
rm -f run/socket

# Variables that were meant for another process, as a shell's child has them.
LISTEN_PID=1 LISTEN_FDS=1 "$FORKD" 3</dev/null >log 2>&1 &
forkd=$!
ok "a socket for another process is not taken" until_ok test -S run/socket
ok "... and forkd serves its own" prints '' list
kill $forkd
wait $forkd
ok "... which it removes" [ ! -e run/socket ]

# Variables without a socket.
unfit() {
	# LISTEN_PID is this very process, which becomes forkd.
	bash -c 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$FORKD" 3<"$0"' \
		"$1" >log 2>err
	[ $? = 1 ] && [ ! -s log ] && [ "$(wc -l <err)" = 1 ] &&
		grep -q '^forkd: LISTEN_FDS is 1, but descriptor 3 is not a listening socket' err
}
ok "something else than a socket is refused" unfit /dev/null
echo "1..$count"
exit "$failed"
