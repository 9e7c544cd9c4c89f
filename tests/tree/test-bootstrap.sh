#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# bootstrap: what it installs, configures and makes, and what it says, on systems
# that are played: the programs that it calls only write down how.
set -u
: "${top_srcdir:?set by make check}"
# shellcheck source=tests/lib/tap.sh
. "$top_srcdir/tests/lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/tree" "$dir/bin"
cp "$top_srcdir/bootstrap" "$dir/tree"
touch "$dir/tree/configure.ac"
for tool in bash cat dirname env tr grep sed mkdir mv touch chmod; do
	ln -s "$(command -v $tool)" "$dir/bin/$tool"
done

# program NAME LINE...: writes its words into `calls`, then does what is said.
program() {
	{
		echo '#!/bin/bash'
		echo "echo \"\${0##*/} \$*\" >>'$dir/calls'"
		printf '%s\n' "${@:2}"
	} >"$dir/bin/$1"
	chmod 755 "$dir/bin/$1"
}
program make 'case "$*" in *" broken") exit 2 ;; esac'
# shellcheck disable=SC2016 # for the program
program autoreconf 'printf "#!/bin/bash\necho configure \"\$@\" >>%s\ntouch Makefile\n" "'"$dir/calls"'" >configure
	chmod 755 configure'
program nproc 'echo 3'
program id 'echo 0'
# shellcheck disable=SC2016
program sudo '"$@"'
# What is asked for is there, but for what $absent names.
# shellcheck disable=SC2016
program dpkg-query 'for p in "${@:4}"; do [ "$p" = "${absent-}" ] || echo "ii  $p"; done'
program apt-get 'true'

# boot WORD...: bootstrap in the played system; what it called is in `called`.
boot() {
	: >"$dir/calls"
	(cd / && env -i PATH="$dir/bin" absent="${absent-}" ${ci:+CI=true} \
		bash "$dir/tree/bootstrap" "$@") >"$dir/out" 2>"$dir/err"
	status=$?
	called=$(grep -vE '^(dpkg-query|nproc|id) ' "$dir/calls")
}
why() {
	echo "status $status, called:"
	cat "$dir/calls" "$dir/out" "$dir/err"
}
is() { [ "$status" = "$1" ] && [ "$called" = "$2" ]; }
says() { grep -qF -- "$1" "$dir/err"; }

make_all='make -C build --no-print-directory -j3 all'
boot
ok "a fresh tree is configured and made" is 0 "autoreconf --install --warnings=all
configure --quiet
$make_all"
ok "... in build" test -e "$dir/tree/build/Makefile"
boot check
ok "with nothing to do the target is all there is" is 0 "$make_all
make -C build --no-print-directory check-all"
boot demo lint
ok "targets are made in order" is 0 "$make_all
make -C build --no-print-directory demo
make -C build --no-print-directory lint"
boot broken
ok "a target that fails is bootstrap's failure" is 2 "$make_all
make -C build --no-print-directory broken"
ci=1 boot
ok "in CI warnings are errors" is 0 "configure --quiet --enable-werror
$make_all"
boot
ok "... and not any more elsewhere" is 0 "configure --quiet
$make_all"
boot check-sanitize
ok "sanitizers have a build of their own" is 0 "$make_all
configure --quiet --enable-sanitizers --disable-shared
make -C build-sanitize --no-print-directory -j3 all
make -C build-sanitize --no-print-directory check-all"

absent=libevent-dev
boot --no-install check
ok "--no-install only says what is missing" is 1 ""
ok "... by name" says 'bootstrap: missing packages: libevent-dev (run without --no-install'
boot
ok "what is missing is installed, and nothing else" is 0 "apt-get -qq update
apt-get -qq -y --no-install-recommends install libevent-dev
$make_all"
ok "... and named" says 'bootstrap: installing libevent-dev'
program id 'echo 1000'
boot
ok "... by sudo where the user is not root" is 0 "sudo apt-get -qq update
apt-get -qq update
sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install libevent-dev
apt-get -qq -y --no-install-recommends install libevent-dev
$make_all"
mv "$dir/bin/sudo" "$dir/bin/no-sudo"
boot
ok "... which may not be there" is 1 ""
ok "... and is said" says 'run as root, or install sudo'
absent=shellcheck
boot
ok "what only lint needs is not missed" is 0 "$make_all"
boot --no-install lint
ok "... before lint" is 1 ""

mv "$dir/bin/dpkg-query" "$dir/bin/no-dpkg-query"
boot check
ok "a system that is not Debian's goes on" is 0 "$make_all
make -C build --no-print-directory check-all"
ok "... and is told what is needed" says 'not a Debian system; xlfork needs'
ok "... all of it" says ' libjansson-dev '

boot --frob
ok "an unknown option is a usage error" is 2 ""
ok "... and named" says "bootstrap: unknown option '--frob'"
boot --help
ok "--help does nothing" is 0 ""
ok "... but help" grep -q '^bootstrap \[--no-install\] \[TARGET' "$dir/out"
echo "1..$count"
