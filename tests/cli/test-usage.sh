#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What xlfork says to words that make no sense, and its exit status: 2 for
# those, 1 for what failed, each with one line. No daemon is needed, and none is
# left behind.
set -u
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
xlfork=$top_builddir/xlfork/xlfork
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export FORKD_RUN_DIR=$dir/run FORKD_STATE_DIR=$dir/state
# A program that cannot be started: whoever asks for a forkd fails with status 1.
export FORKD=$dir/no-forkd
count=0

# row STATUS MESSAGE WORD...: standard error begins with "xlfork: MESSAGE",
# standard output is empty. After a usage error comes the usage, nothing else.
row() {
	local status=$1 message=$2 got first rest=''
	shift 2
	count=$((count + 1))
	"$xlfork" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	first=$(head -n 1 "$dir/err")
	[ "$status" = 2 ] && rest='^usage: xlfork '
	if [ "$got" = "$status" ] && [ ! -s "$dir/out" ] &&
		[ "$first" = "xlfork: $message" ] &&
		! tail -n +2 "$dir/err" | grep -qvE "${rest:-^\$}"; then
		echo "ok $count - xlfork $*"
		return
	fi
	echo "not ok $count - xlfork $*"
	echo "# wanted status $status: xlfork: $message"
	echo "# got    status $got:"
	sed 's/^/# /' "$dir/err" "$dir/out"
}

# Commands.
row 2 "unknown command 'frobnicate'; 'xlfork help' lists all commands" frobnicate
row 2 "unknown command 'crate'; did you mean 'create'?" crate x.cfg
row 2 "unknown command 'lsit'; did you mean 'list'?" lsit
row 2 "unknown command 'save'; did you mean 'save-devstate'?" save web file
row 2 "unknown command 'restore'; 'xlfork help' lists all commands" restore file
row 2 "unknown command 'transfer'; 'xlfork help' lists all commands" transfer web
row 2 "unknown command 'dump-core'; 'xlfork help' lists all commands" dump-core web
row 2 "unknown command 'gdb'; 'xlfork help' lists all commands" gdb web
row 2 "'dom' may be any of: domid, domname" dom web
row 2 "unknown command ''; 'xlfork help' lists all commands" ''
row 2 "unknown option '--frob'; the command comes first, 'xlfork help' lists all" --frob
row 2 "unknown command 'frob'; 'xlfork help' lists all commands" help frob

# Words.
row 2 "create: CONFIG is missing" create
row 2 "rename: NAME is missing" rename web
row 2 "save-devstate: FILE is missing" save-devstate web
row 2 "fork-vm: PARENT is missing" fork-vm
row 2 "destroy: DOMAIN is missing" destroy
row 2 "list: 'two' is one word too many" list one two
row 2 "version: 'now' is one word too many" version now

# Options.
row 2 "list: unknown option '--jsno'; did you mean '--json'?" list --jsno
row 2 "list: unknown option '-x'" list -x
row 2 "pause: unknown option '--now'" pause --now web
row 2 "list: option '--json' takes no value" list --json=yes
row 2 "list: option '--json' is given twice" list --json -j
row 2 "list: option '--help' takes no value" list --help=yes
row 2 "fork-vm: option '-n' needs a value" fork-vm web -n
row 2 "fork-vm: option '--count' needs a value" fork-vm web --count
row 2 "fork-vm: option '--de' may be several" fork-vm --de web
row 2 "fork-vm: --count '0' is not a number from 1 to 1000" fork-vm -n 0 web
row 2 "fork-vm: --count '1001' is not a number from 1 to 1000" fork-vm -n 1001 web
row 2 "fork-vm: --count '-1' is not a number from 1 to 1000" fork-vm -n -1 web
row 2 "fork-vm: --count '2x' is not a number from 1 to 1000" fork-vm -n 2x web
row 2 "fork-vm: --count '' is not a number from 1 to 1000" fork-vm -n '' web
row 2 "fork-vm: --max-vcpus 'two' is not a number from 1 to 4096" fork-vm -m two web
row 2 "fork-vm: --launch-dm is yes, no or late, not 'maybe'" fork-vm --launch-dm maybe web
row 2 "fork-vm: -n and -C exclude each other: one configuration is one fork's" \
	fork-vm -n 2 -C x.cfg web
row 2 "create: --dry-run starts nothing, so it goes with no other option" \
	create --dry-run -p x.cfg

for option in '--symbols x' '--slide 1' '--cr3 0x1000' '--count 2' '--timeout 3'; do
	# shellcheck disable=SC2086 # an option and its value
	row 2 "freeze: ${option%% *} goes with --at, which is missing" \
		freeze $option web
done
row 2 "freeze: --slide goes with --symbols: addresses are not moved" \
	freeze --at 0x1000 --slide 0x1000 web
row 2 "freeze: --slide goes with a file: the guest's own symbols are where its kernel is" \
	freeze --at do_exit --symbols guest --slide 0x1000 web
row 2 "freeze: --at: no symbol is longer than 512 bytes" \
	freeze --at "$(printf '%0513d' 0)" --symbols guest web
row 2 "freeze: --at 'do_exit' is no address; --symbols says where symbols are" \
	freeze --at do_exit web
row 2 "freeze: --count '0' is not a number from 1 to 2147483647" \
	freeze --at 0x1000 --count 0 web
row 2 "freeze: --timeout '0' is not a number from 1 to 3600" \
	freeze --at 0x1000 --timeout 0 web
row 2 "freeze: --timeout '3601' is not a number from 1 to 3600" \
	freeze --at 0x1000 --timeout 3601 web
row 2 "freeze: --cr3 '0x10000000000000' is not a number from 0 to 0xfffffffffffff, decimal or with 0x" \
	freeze --at 0x1000 --cr3 0x10000000000000 web
row 2 "freeze: --cr3 '-4096' is not a number from 0 to 0xfffffffffffff, decimal or with 0x" \
	freeze --at 0x1000 --cr3 -4096 web
row 2 "freeze: --slide 'far' is not a number from 0 to 0xffffffffffffffff, decimal or with 0x" \
	freeze --at do_exit --symbols x --slide far web

# Options that make no sense together, or values that are none.
row 2 "fork-vm: --interrupts is one of block|ipi|all, not 'some'" \
	fork-vm --launch-dm no --interrupts some web
row 2 "fork-vm: --io-policy is one of stop|launch|ignore|crash, not 'sto'" \
	fork-vm --launch-dm no --io-policy sto web
row 2 "fork-vm: --verify '0' is not a number from 1 to 4294967295" \
	fork-vm --launch-dm no --verify 0 web
for option in --pv-clock '--interrupts all' '--io-policy stop' '--verify 10'; do
	for form in '' '--launch-dm yes' '--launch-dm late' --fork-reset; do
		# shellcheck disable=SC2086 # options and their values
		row 2 "fork-vm: ${option%% *} is for forks without device model: add --launch-dm no" \
			fork-vm $form $option web
	done
done
for option in '-C x.cfg' '-Q x.dev'; do
	name=--config
	[ "${option%% *}" = -C ] || name=--devstate
	# shellcheck disable=SC2086
	row 2 "fork-vm: $name does not go with --launch-dm no" \
		fork-vm --launch-dm no $option web
	# shellcheck disable=SC2086
	row 2 "fork-vm: $name does not go with --fork-reset" \
		fork-vm --fork-reset $option web
done
row 2 "fork-vm: --count does not go with --launch-dm late" \
	fork-vm --launch-dm late -n 2 web
row 2 "fork-vm: --count does not go with --fork-reset" fork-vm --fork-reset -n 2 web
row 2 "fork-vm: --max-vcpus does not go with --fork-reset" \
	fork-vm --fork-reset -m 1 web
row 2 "fork-vm: --fork-reset and --launch-dm exclude each other: a reset leaves a fork with or without device model, as it is" \
	fork-vm --fork-reset --launch-dm no web

# What a later version will do, and what none will.
row 2 "fork-vm: --dm-pool is for forks without device model: add --launch-dm no" \
	fork-vm --dm-pool 2 web
row 2 "fork-vm: --dm-pool is for forks without device model: add --launch-dm no" \
	fork-vm --dm-pool 1 --launch-dm late web
row 2 "fork-vm: --dm-pool '0' is not a number from 1 to 64" \
	fork-vm --launch-dm no --dm-pool 0 web
row 2 "fork-vm: --dm-pool '65' is not a number from 1 to 64" \
	fork-vm --launch-dm no -n 100 --dm-pool 65 web
row 2 "fork-vm: --dm-pool 3 is for more forks than are made" \
	fork-vm --launch-dm no -n 2 --dm-pool 3 web
row 1 "fork-vm: --allow-iommu is refused: a device passed through is one piece of hardware, there is nothing to give to the fork; remove it from the parent" \
	fork-vm --allow-iommu web

# What fails before or without a daemon.
row 1 "cannot open device state '$dir/none': No such file or directory" \
	fork-vm -Q "$dir/none" web
row 1 "an empty word is no domain; 'xlfork list' shows them" info ''
row 1 "domain '$(printf 'w\377b')' cannot exist: names are UTF-8 text" \
	info "$(printf 'w\377b')"
row 1 "forkd did not start: cannot start '$dir/no-forkd': No such file or directory" \
	list
mkdir -p "$dir/run"
chmod 755 "$dir/run"

row 1 "freeze: cannot open symbols '$dir/none': No such file or directory" \
	freeze --at do_exit --symbols "$dir/none" web
row 1 "'0x12x' is not an address: a number (0x... or decimal), a symbol, or symbol+offset wanted" freeze --at 0x12x web

# Help and versions are for people who have no daemon yet.
says() {
	local text=$1
	shift
	count=$((count + 1))
	if "$xlfork" "$@" >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/err" ] &&
		grep -q "$text" "$dir/out"; then
		echo "ok $count - xlfork $* prints '$text'"
	else
		echo "not ok $count - xlfork $* prints '$text'"
		sed 's/^/# /' "$dir/out" "$dir/err"
	fi
}
says '^usage: xlfork COMMAND' help
says '^usage: xlfork COMMAND' --help
says '^usage: xlfork fork-vm ' help fork-vm
says '^usage: xlfork fork-vm ' fork-vm -h
says '^usage: xlfork list ' list --help too many words
says '^xlfork [0-9]' --version
says '^forkd  not running$' version

count=$((count + 1))
"$xlfork" >"$dir/out" 2>"$dir/err"
if [ $? = 2 ] && [ ! -s "$dir/out" ] && grep -q '^usage:' "$dir/err"; then
	echo "ok $count - xlfork alone prints the overview and is a usage error"
else
	echo "not ok $count - xlfork alone prints the overview and is a usage error"
fi

count=$((count + 1))
if "$xlfork" help >/dev/full 2>"$dir/err"; then
	echo "not ok $count - a full disk is noticed"
elif grep -q '^xlfork: cannot write to standard output: No space' "$dir/err"; then
	echo "ok $count - a full disk is noticed"
else
	echo "not ok $count - a full disk is noticed"
	sed 's/^/# /' "$dir/err"
fi
# doctor: on a host without QEMU, and what every line holds. The wrapper that
# libtool makes needs programs from PATH, so the program itself is run.
program=$top_builddir/xlfork/.libs/xlfork
[ -x "$program" ] || program=$xlfork
export LD_LIBRARY_PATH=$top_builddir/libfork/.libs
count=$((count + 1))
PATH=/nonexistent "$program" doctor >"$dir/out" 2>"$dir/err"
if [ $? = 1 ] && grep -qE "^missing +QEMU +.*install qemu-system-x86\$" "$dir/out" &&
	grep -q '^xlfork: nothing works without what is missing here: QEMU$' "$dir/err"; then
	echo "ok $count - doctor without QEMU says what is missing and fails"
else
	echo "not ok $count - doctor without QEMU says what is missing and fails"
	sed 's/^/# /' "$dir/out" "$dir/err"
fi
count=$((count + 1))
"$xlfork" doctor --json >"$dir/out" 2>"$dir/err"
if python3 - "$dir/out" <<'EOF'; then
import json, sys
checks = json.load(open(sys.argv[1]))["checks"]
names = [c["what"] for c in checks]
assert len(names) == len(set(names)) >= 20, names
for c in checks:
    assert c["status"] in ("good", "limited", "missing"), c
    assert c["found"], c
for name in ("KVM", "dirty ring", "kernel", "QEMU", "userfaultfd", "overcommit",
             "transparent huge pages", "huge pages", "cgroup", "open files"):
    assert name in names, name
EOF
	echo "ok $count - doctor --json has everything that matters"
else
	echo "not ok $count - doctor --json has everything that matters"
	sed 's/^/# /' "$dir/out" "$dir/err"
fi

# On a terminal there are colours, and long texts are wrapped between words; in
# a pipe neither.
on_terminal() { script -qc "stty cols 60; $1" /dev/null | tr -d '\r'; }
terminal() {
	count=$((count + 1))
	if "${@:2}"; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		sed 's/^/# /' "$dir/out"
	fi
}
escape=$(printf '\033')
on_terminal "$xlfork doctor" >"$dir/out"
terminal "a terminal gets colours" grep -q "$escape" "$dir/out"
sed "s/$escape\[[0-9;]*m//g" "$dir/out" >"$dir/plain"
terminal "and lines that fit" [ \
	"$(grep -E '.{61}' "$dir/plain" | grep -cvE '[^ ]{28}')" = 0 ]
terminal "no word is broken" grep -qE '^ {8,}[a-z]' "$dir/plain"
# Numbers that are measured differ between two runs.
words() { grep -oE '[^ ]+' | grep -v '[0-9]' | sort; }
"$xlfork" doctor | words >"$dir/words.pipe"
words <"$dir/plain" >"$dir/words.terminal"
terminal "... the words are those of a pipe" cmp -s "$dir/words.pipe" "$dir/words.terminal"
NO_COLOR=1 on_terminal "$xlfork doctor" >"$dir/out"
terminal "NO_COLOR takes the colours away" [ "$(grep -c "$escape" "$dir/out")" = 0 ]
"$xlfork" doctor >"$dir/out"
terminal "a pipe gets one line for each check, without colours" [ \
	"$(grep -cvE '^(good|limited|missing) +[^ ]' "$dir/out")" = 0 ]

# completes WORDS -- LINE...: what the shell offers at the end of LINE.
# shellcheck source=/dev/null
. "$top_srcdir/xlfork/completion/xlfork"
completes() {
	local wanted=$1
	shift
	count=$((count + 1))
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_xlfork
	if [ "${COMPREPLY[*]}" = "$wanted" ]; then
		echo "ok $count - completion of '$*'"
	else
		echo "not ok $count - completion of '$*'"
		echo "# wanted '$wanted', got '${COMPREPLY[*]}'"
	fi
}
completes 'create' xlfork cr
completes 'domid domname' xlfork dom
completes '--help' xlfork --h
completes '--json' xlfork list --j
completes '--launch-dm' xlfork fork-vm --la
completes 'yes' xlfork fork-vm --launch-dm y
completes "$dir/out" xlfork create "$dir/o"
completes "$dir/out" xlfork save-devstate web "$dir/o"
completes '' xlfork pause w
completes 'fork-vm freeze fuzz' xlfork help f
echo "1..$count"
