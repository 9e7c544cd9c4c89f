#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC1091,SC2034,SC2154 # variables of cli.sh
# xlfork with a real forkd and real domains, whose guest is a firmware image of
# a few hundred bytes that counts on its console: every command, and everything
# that can go wrong at the command line, each with its line and exit status.
. "$(dirname "$0")/cli.sh"

bootless one >one.cfg

# --- configurations that cannot be ---
refuses "a missing file" 'none\.cfg: No such file' create none.cfg
printf 'name = "one\n' >broken.cfg
refuses "broken xl.cfg, with its place" 'broken\.cfg:1:8: ' create broken.cfg
printf '<domain><name>x</name>\n' >broken.xml
refuses "broken XML, with its place" 'broken\.xml:2:1: ' create broken.xml
printf 'nmae = "one"\n' >key.cfg
refuses "an unknown key" "key\.cfg:1:1: nmae: unknown key; did you mean 'name'" create key.cfg
{ bootless k; echo 'kernel = "/nonexistent/vmlinuz"'; } | grep -v firmware >kernel.cfg
refuses "a missing kernel" "kernel\.cfg: .*kernel '/nonexistent/vmlinuz': No such file" \
	create kernel.cfg
{ bootless d; echo 'disk = [ "/nonexistent/d.img,raw,vda,rw" ]'; } >disk.cfg
refuses "a missing disk" "disk\.cfg: .*'/nonexistent/d.img': No such file" create disk.cfg
{ bootless q; echo 'device_model_args = [ "-device", "nonsense" ]'; } >qemu.cfg
refuses "a QEMU that cannot start is quoted" \
	"qemu\.cfg: .*'nonsense' is not a valid device model name" create qemu.cfg
{ bootless m; echo 'device_model_args = [ "-device", "nvme,serial=x" ]'; } >nvme.cfg
refuses "a device that cannot be forked is named" \
	'nvme\.cfg: .*nvme is not migratable' create nvme.cfg
refuses "none of them left a domain" "no domain has the id or name 'q'" info q
ok "the QEMU command line is printed and nothing started" \
	matches '-m size=16M' create --dry-run one.cfg
ok "a configuration becomes XML" did config-convert one.cfg -o one.xml
ok "and the XML the same configuration" matches 'name = "one"' config-convert one.xml
cp one.xml one2.xml
refuses "a conversion that fails leaves the old file" 'broken' \
	config-convert broken.cfg -o one2.xml
ok "... as it was" cmp -s one.xml one2.xml

# --- a domain's life ---
ok "create prints the id" matches '^[0-9]+$' create one.xml
one=$(cat out)
refuses "a name that is taken" \
	"one\.cfg: the name 'one' is taken by domain $one" create one.cfg
ok "domid" prints "$one" domid one
ok "domname" prints one domname "$one"
ok "info says which accelerator and why" matches '^accelerator: +tcg \(' info one
ok "list" matches "^ *$one one +running +16M +1 qemu" list
ok "list --json is JSON" did list --json
ok "... that a program reads" python3 -c '
import json, sys
d = json.load(open("out"))["domains"][0]
sys.exit(d["name"] != "one" or d["memory"] != 16 << 20)'
ok "the guest counts" until_ok counts_past one.console 3
ok "pause" did pause one
refuses "pause of a paused domain" "domain $one \('one'\) is paused" pause one
before=$(counted one.console)
sleep 0.5
ok "a paused guest does not count" [ "$before" = "$(counted one.console)" ]
ok "unpause" did unpause one
ok "the guest goes on" until_ok counts_past one.console "$before"
ok "rename" did rename one uno
refuses "the old name is unknown" "no domain has the id or name 'one'" pause one
ok "the new one is known" prints "$one" domid uno
ok "rename back" did rename "$one" one
refuses "an unknown id" "no domain has the id or name '999'" destroy 999
refuses "of several domains, only those that fail" "no domain has the id or name 'x'" \
	pause one x
ok "... the others are done" matches 'paused' list one
x unpause one

# --- forks ---
ok "save-devstate freezes and writes" did save-devstate one state.1
ok "the domain is frozen" matches ' one +frozen' list
refuses "freeze of a frozen domain" 'domain .*is frozen' freeze one
last=$(counted one.console)
ok "fork-vm -n 2 prints two ids" did fork-vm -n 2 one
mapfile -t ids <out
ok "... in order" [ "${#ids[@]}" = 2 -a "${ids[0]}" -lt "${ids[1]}" ]
for id in "${ids[@]}"; do
	ok "fork $id counts" until_ok counts_past "one.console.one.$id" "$last"
	ok "... from where its parent stopped" [ \
		"$(tr -d '\r' <"one.console.one.$id" | head -n 1)" = "tick $((last + 1))" ]
done
ok "the parent does not" [ "$last" = "$(counted one.console)" ]
ok "reset of a fork" did fork-vm --fork-reset "${ids[0]}"
ticks_again() {
	[ "$(tr -d '\r' <"one.console.one.${ids[0]}" |
		grep -c "^tick $((last + 1))\$")" = 2 ]
}
ok "... counts again from where its parent stopped" until_ok ticks_again
ok "... under the same id and name" prints "one.${ids[0]}" domname "${ids[0]}"
refuses "reset of what is no fork" "domain $one .*frozen" fork-vm --fork-reset one
refuses "a device model for what has one" \
	"domain ${ids[0]} .*has a device model already" fork-vm --launch-dm late "${ids[0]}"
ok "the tree" matches "^ *${ids[1]} ..one\.${ids[1]} +running .* $one *\$" list --tree
ok "info names the holders" matches "^held by: +domain ${ids[0]} " info one
refuses "unpause of a parent with forks names them" "domain $one .*${ids[0]}.*${ids[1]}" \
	unpause one
refuses "destroy of a parent with forks names them" "domain $one .*--recursive" destroy one
ok "-Q with the parent's own device state" did fork-vm -p -Q state.1 one
ok "-p leaves it paused" matches ' paused ' list "$(cat out)"
refuses "-Q with something else" "fork-vm -Q '/dev/null': " fork-vm -Q /dev/null one
refuses "another number of vCPUs" \
	"fork-vm: domain 'one' has 1 virtual CPUs, so its fork cannot have 2" \
	fork-vm -m 2 one
ok "the parent's number of vCPUs" did fork-vm -m 1 one
bootless two >two.cfg
ok "-C names the fork" did fork-vm -C two.cfg one
ok "... so" matches "^ *[0-9]+ two " list two
refuses "-C with a name that is taken" ".*'two' is taken" fork-vm -C two.cfg one
{ bootless three; echo 'vcpus = 2'; } >three.cfg
refuses "-C with another frozen thing names both values" '.*vcpus.*2.*1|.*vcpus.*1.*2' \
	fork-vm -C three.cfg one
ok "a fork of a fork" did fork-vm two
ok "... whose name tells" matches '^ *[0-9]+ .*two\.' list --tree
x fork-vm -d one >out 2>err
ok "-d prints what is said" grep -q '^debug: fork-vm ' err
ok "destroy --recursive" did destroy --recursive one
ok "nothing is left" prints '' list

# --- disks of forks that are reset ---
if command -v qemu-img >/dev/null; then
	qemu-img create -q -f raw base.img 1M
	qemu-img create -q -f qcow2 -F raw -b "$dir/base.img" old.qcow2
	disk_config() {
		bootless "$1"
		echo "disk = [ \"$2,vda,rw\" ]"
	}
	disk_config base base.img,raw >base.cfg
	disk_config new new.qcow2,qcow2 >new.cfg
	disk_config old old.qcow2,qcow2 >old.cfg
	ok "create with a disk" did create base.cfg
	ok "a fork whose overlay has a place of its own" did fork-vm -C new.cfg base
	made=$(stat -c %w-%y new.qcow2)
	ok "reset" did fork-vm --fork-reset new
	ok "... makes it anew there" [ "$made" != "$(stat -c %w-%y new.qcow2)" ]
	ok "a fork on an overlay that was there before" did fork-vm -C old.cfg base
	refuses "reset" ".*overlay '$dir/old.qcow2' was there before the fork" \
		fork-vm --fork-reset old
	ok "a fork with an overlay of forkd's" did fork-vm base
	ok "reset" did fork-vm --fork-reset "$(cat out)"
	ok "destroy" did destroy -r base
	ok "... leaves the overlays that have a place of their own" [ -e new.qcow2 -a -e old.qcow2 ]
	ok "... and no other" [ -z "$(ls "$FORKD_STATE_DIR/overlays")" ]
fi

# --- a stale device state, consoles, events ---
ok "create" did create one.cfg
until_ok counts_past one.console 3 >/dev/null
ok "save-devstate" did save-devstate one stale
before=$(counted one.console)
x unpause one
until_ok counts_past one.console "$before" >/dev/null
refuses "-Q of an older snapshot says what differs" \
	"fork-vm -Q 'stale': .*not of this snapshot: .* differs from field '(env\.|cpu_)" \
	fork-vm -Q stale one
{ bootless foreign; echo 'rng = on'; } >foreign.cfg
did create foreign.cfg && did save-devstate foreign foreign.state
refuses "-Q of another domain says what differs" \
	"fork-vm -Q 'foreign.state': .*the device state has a section '[^']*rng" \
	fork-vm -Q foreign.state one
x destroy -r foreign
x destroy -r one

# What was measured differs from run to run, what is concluded does not.
concluded() { sed -E 's/[0-9.]+/N/g; s/ +/ /g' "$1"; }
bootless auto | sed 's/"tcg"/"auto"/' >auto.cfg
ok "create with whatever accelerator this host is good for" did create -p auto.cfg
did info auto && sed -n 's/^accelerator: .*(auto: \(.*\))$/\1/p' out >chosen
x destroy auto
"$xlfork" doctor 2>err | sed -n 's/^[a-z]* *accelerator=auto *//p' >judged
ok "the reason is the one that doctor gives" [ \
	-s chosen -a "$(concluded chosen)" = "$(concluded judged)" ]

timeout 600 "$xlfork" events >happened 2>&1 &
events=$!
bootless pty pty >pty.cfg
# There is something to be heard until it is heard.
hears() {
	x create -p pty.cfg >/dev/null
	x destroy pty
	[ -s happened ]
}
until_ok hears
ok "create with a pty" did create -p pty.cfg
pty=$(cat out)
mkfifo in
timeout 600 "$xlfork" console pty <in >console.out 2>err &
console=$!
exec 9>in
# Nobody listens to a pty before it is open, and it keeps nothing for them.
listens() {
	readlink /proc/"$(pgrep -P $console)"/fd/* 2>/dev/null | grep -q /dev/pts/
}
until_ok listens
x unpause pty
ok "a console in a pipe shows the guest from its first line" \
	until_ok grep -q '^BOOTED' console.out
printf 'Z' >&9
ok "and takes input" until_ok grep -q '^got Z' console.out
exec 9>&-
x destroy pty
ok "it ends with its domain" wait $console
ok "events were printed" until_ok grep -q "domain $pty pty gone (destroyed)" happened
ok "... from the beginning" grep -q "domain $pty pty created" happened
ok "create a domain to be shut down" did create one.cfg
one=$(cat out)
until_ok counts_past one.console 1
ok "shutdown presses its power button" did shutdown one
ok "... the guest sees that" until_ok grep -q '^off' one.console
ok "... and the domain is gone" until_ok grep -q "domain $one one gone (poweroff)" happened
refuses "... so that it cannot be shut down again" "no domain has the id or name 'one'" \
	shutdown one
kill $events
wait $events 2>/dev/null
timeout 600 "$xlfork" create -c one.cfg >console.out 2>err </dev/null &
console=$!
ok "create -c shows the console" until_ok grep -q '^tick' console.out
x destroy one
wait $console

# --- places that are not ours ---
mkdir -p "$dir/closed"
if [ "$(id -u)" = 0 ]; then
	mkdir -m 700 "$dir/foreign"
	chown 65534 "$dir/foreign"
	FORKD_RUN_DIR=$dir/foreign
	refuses "a run directory of another owner" \
		"forkd did not start: .*$dir/foreign.*(owner|belongs|uid)" list
else
	chmod 500 "$dir/closed"
	FORKD_RUN_DIR=$dir/closed/run
	refuses "a run directory that cannot be made" \
		'forkd did not start: .*Permission denied' list
fi
FORKD_RUN_DIR=$dir/one.cfg/run
refuses "a run directory below a file" '.*one.cfg/run.*Not a directory' list
FORKD_RUN_DIR=relative
refuses "a run directory that is not absolute" '.*FORKD_RUN_DIR.*absolute' list
FORKD_RUN_DIR=$dir/run

# The rest needs root: to be somebody else, and to have a small file system.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	program=$top_builddir/xlfork/.libs/xlfork
	[ -x "$program" ] || program=$top_builddir/xlfork/xlfork
	# Another user may not be able to reach the build tree: a copy.
	cp "$program" "$dir/xlfork.copy"
	cp -L "$top_builddir"/libfork/.libs/libfork.so.0 "$dir" 2>/dev/null
	chmod 755 "$dir" "$dir/run"
	x create one.cfg >/dev/null
	chmod 666 "$dir/run/socket"
	as_nobody() {
		LD_LIBRARY_PATH=$dir timeout 120 setpriv --reuid 65534 --clear-groups \
			"$dir/xlfork.copy" list >out 2>err
		[ $? = 1 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
			grep -qE '^xlfork: .*not user 65534' err
	}
	ok "another user is refused" as_nobody
	ok "... and the daemon goes on" matches '^ *[0-9]+ one ' list
	x destroy one
	until_ok no_forkd
fi
if [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
	truncate -s 1M disk.img
	{ bootless full; echo 'disk = [ "disk.img,raw,vda,rw" ]'; } >full.cfg
	cat >full.sh <<-EOF
		mount -t tmpfs -o size=64k,mode=0700 none "$dir/small" || exit 1
		export FORKD_STATE_DIR=$dir/small FORKD_RUN_DIR=$dir/run.full
		"$xlfork" create full.cfg >/dev/null || exit 2
		"$xlfork" fork-vm full >out 2>err && exit 3
		"$xlfork" list >listed
		"$xlfork" destroy full || exit 4
		ls -R "$dir/small" >left
	EOF
	mkdir -p small
	ok "no room for an overlay" eval \
		"timeout 300 unshare --mount sh full.sh && grep -q 'No space left' err"
	ok "... is one line" [ "$(wc -l <err)" = 1 ]
	ok "... and no fork is left" [ "$(wc -l <listed)" = 2 ]
	ok "... nor a file" [ "$(grep -c qcow2 left)" = 0 ]
fi
ok "no daemon is left" until_ok no_forkd
echo "1..$count"
