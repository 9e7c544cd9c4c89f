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
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"

why() {
	echo "wanted status $status: xlfork: $message"
	echo "got    status $got:"
	cat "$dir/err" "$dir/out"
}

# row STATUS MESSAGE WORD...: standard error begins with "xlfork: MESSAGE",
# standard output is empty. After a usage error comes the usage, nothing else.
row() {
	local status=$1 message=$2 got first rest=''
	shift 2
	"$xlfork" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	first=$(head -n 1 "$dir/err")
	[ "$status" = 2 ] && rest='^usage: xlfork '
	[ "$got" = "$status" ] && [ ! -s "$dir/out" ] &&
		[ "$first" = "xlfork: $message" ] &&
		! tail -n +2 "$dir/err" | grep -qvE "${rest:-^\$}"
	result $? "xlfork $*"
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

row 2 "unknown option '--frob?[1m'; the command comes first, 'xlfork help' lists all" \
	"$(printf -- '--frob\033[1m')"
row 2 "unknown command '$(printf '%064d' 7)'; 'xlfork help' lists all commands" \
	"$(printf '%064d' 7 && printf '%05000d' 7)"

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

# What a fuzzing session is told to no purpose.
for option in '--range parse' '--blocks list'; do
	for form in '' '--coverage shared' '--coverage none'; do
		# shellcheck disable=SC2086 # options and their values
		row 2 "fuzz: --range and --blocks are for --coverage block or edge" \
			fuzz $form $option --program p --input i
	done
done
row 2 "fuzz: --coverage edge of what? --range or --blocks says it" \
	fuzz --coverage edge --program p --input i
row 2 "fuzz: --memory '3' is not a number from 4 to 256" \
	fuzz --memory 3 --program p --input i
echo text >"$dir/text"
row 1 "'$dir/text' is no x86-64 ELF file" fuzz --program "$dir/text" --input "$dir/text"

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

# shellcheck disable=SC2317 # called by result
why() { cat "$dir/out" "$dir/err"; }

# Help and versions are for people who have no daemon yet.
says() {
	local text=$1
	shift
	"$xlfork" "$@" >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/err" ] &&
		grep -q "$text" "$dir/out"
	result $? "xlfork $* prints '$text'"
}
says '^usage: xlfork COMMAND' help
says '^usage: xlfork COMMAND' --help
says '^usage: xlfork fork-vm ' help fork-vm
says '^usage: xlfork fork-vm ' fork-vm -h
says '^usage: xlfork list ' list --help too many words
says '^xlfork [0-9]' --version
says '^forkd  not running$' version

"$xlfork" >"$dir/out" 2>"$dir/err"
[ $? = 2 ] && [ ! -s "$dir/out" ] && grep -q '^usage:' "$dir/err"
result $? "xlfork alone prints the overview and is a usage error"

! "$xlfork" help >/dev/full 2>"$dir/err" &&
	grep -q '^xlfork: cannot write to standard output: No space' "$dir/err"
result $? "a full disk is noticed"

# doctor: on a host without QEMU, and what every line holds. The wrapper that
# libtool makes needs programs from PATH, so the program itself is run.
program=$top_builddir/xlfork/.libs/xlfork
[ -x "$program" ] || program=$xlfork
export LD_LIBRARY_PATH=$top_builddir/libfork/.libs
PATH=/nonexistent "$program" doctor >"$dir/out" 2>"$dir/err"
[ $? = 1 ] && grep -qE "^missing +QEMU +.*install qemu-system-x86\$" "$dir/out" &&
	grep -q '^xlfork: nothing works without what is missing here: QEMU$' "$dir/err"
result $? "doctor without QEMU says what is missing and fails"
"$xlfork" doctor --json >"$dir/out" 2>"$dir/err"
python3 - "$dir/out" 2>>"$dir/err" <<'EOF'
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
result $? "doctor --json has everything that matters"

# On a terminal there are colours, and long texts are wrapped between words; in
# a pipe neither.
on_terminal() { script -qc "stty cols 60; $1" /dev/null | tr -d '\r'; }
escape=$(printf '\033')
on_terminal "$xlfork doctor" >"$dir/out"
ok "a terminal gets colours" grep -q "$escape" "$dir/out"
sed "s/$escape\[[0-9;]*m//g" "$dir/out" >"$dir/plain"
ok "and lines that fit" [ \
	"$(grep -E '.{61}' "$dir/plain" | grep -cvE '[^ ]{28}')" = 0 ]
ok "no word is broken" grep -qE '^ {8,}[a-z]' "$dir/plain"
# Numbers that are measured differ between two runs.
words() { grep -oE '[^ ]+' | grep -v '[0-9]' | sort; }
"$xlfork" doctor | words >"$dir/words.pipe"
words <"$dir/plain" >"$dir/words.terminal"
ok "... the words are those of a pipe" cmp -s "$dir/words.pipe" "$dir/words.terminal"
NO_COLOR=1 on_terminal "$xlfork doctor" >"$dir/out"
ok "NO_COLOR takes the colours away" [ "$(grep -c "$escape" "$dir/out")" = 0 ]
"$xlfork" doctor >"$dir/out"
ok "a pipe gets one line for each check, without colours" [ \
	"$(grep -cvE '^(good|limited|missing) +[^ ]' "$dir/out")" = 0 ]

# completes WORDS -- LINE...: what the shell offers at the end of LINE.
# shellcheck source=/dev/null
. "$top_srcdir/xlfork/completion/xlfork"
completes() {
	local wanted=$1
	shift
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_xlfork
	ok "completion of '$*'" [ "${COMPREPLY[*]}" = "$wanted" ]
}
why() { echo "wanted '$wanted', got '${COMPREPLY[*]}'"; }
completes 'create' xlfork cr
completes 'domid domname' xlfork dom
completes '--help' xlfork --h
completes '--json' xlfork list --j
completes '--launch-dm' xlfork fork-vm --la
completes 'yes' xlfork fork-vm --launch-dm y
completes "$dir/out" xlfork create "$dir/o"
completes "$dir/out" xlfork save-devstate web "$dir/o"
completes '' xlfork pause w
completes "$dir/out" xlfork fuzz -p "$dir/o"
completes "$dir/out" xlfork fuzz --program p -i "$dir/o"
completes 'fork-vm freeze fuzz' xlfork help f
echo "1..$count"
