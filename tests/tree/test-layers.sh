#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A lower layer never includes a higher one; programs include libfork's public
# headers, the convenience libraries and base only; within a room includes and calls
# go one way; and each library that only one room may use is used in that room only.
set -eu
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
cd "$top_srcdir"
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

nothing() { # NAME FOUND
	found=$2
	ok "$1" [ -z "$found" ]
}
why() { echo "$found"; }

# may ROOM ALLOWED...: what ROOM includes of the other rooms.
rooms='base memory cpu insn kvm qemu snapshot domain vmi cover fuzz config control'
may() {
	room=$1
	shift
	[ -d "libfork/$room" ] || return 0
	wrong=
	for other in $rooms; do
		case " $room $* " in
		*" $other "*) continue ;;
		esac
		wrong="$wrong$(grep -rnE "#include \"$other/" "libfork/$room" || true)"
	done
	nothing "$room includes itself and: $*" "$wrong"
}

low=(base)
mid=(base memory cpu insn)
may base
may memory "${low[@]}"
may cpu "${low[@]}" memory
may insn "${low[@]}" cpu
may kvm "${mid[@]}"
may qemu "${mid[@]}"
may snapshot "${mid[@]}" kvm qemu
may domain "${mid[@]}" kvm qemu snapshot
may vmi "${mid[@]}" kvm qemu snapshot domain
may cover "${mid[@]}" kvm qemu snapshot domain vmi
may fuzz "${mid[@]}" kvm qemu snapshot domain vmi cover
may config "${low[@]}"
may control "${low[@]}"

for program in forkd xlfork; do
	nothing "$program uses public headers, config, control and base" "$(
		grep -rnE '#include "(memory|cpu|insn|kvm|qemu|snapshot|domain|vmi|cover|fuzz)/' \
			"$program" || true)"
done
nothing "public headers include public headers only" \
	"$(grep -rnE '#include "' libfork/include || true)"

# circles DIR: a module is a source with its header; includes go one way.
circles() {
	nothing "no module of $1 includes, by others, itself" "$(
		grep -HoE "^#include \"${1##*/}/[a-z0-9_]+" "$1"/*.[ch] |
			sed -E 's|^.*/([a-z0-9_]+)\.[ch]:.*/|\1 |' |
			awk '$1 != $2' | sort -u | tsort 2>&1 >/dev/null || true)"
}
for dir in forkd xlfork libfork/base libfork/config libfork/control; do
	circles $dir
done

# calls FOLDER LIBRARY: the same for files that share a header, by what the object
# of each takes from another.
calls() {
	pairs=$(cd "$top_builddir/$1" &&
		find . -name "$2_la-*.o" -exec nm -A {} + |
		sed -E "s|^.*/$2_la-([a-z0-9_]+)\.o:[0-9a-f]* *|\1 |" |
		awk '$2 == "U" { users[$3] = users[$3] " " $1 }
			$2 ~ /^[TDBR]$/ { has[$3] = $1 }
			END {
				for (name in has) {
					n = split(users[name], user, " ")
					for (i = 1; i <= n; i++)
						print user[i], has[name]
				}
			}' |
		while read -r user other; do
			# No object that an earlier build left behind.
			[ "$user" = "$other" ] ||
				[ ! -f "$top_srcdir/$1/$user.c" ] ||
				echo "$user $other"
		done | sort -u)
	nothing "no module of $1 calls, by others, itself" "$(
		[ -n "$pairs" ] || echo "no objects in $top_builddir/$1"
		tsort <<<"$pairs" 2>&1 >/dev/null || true)"
}
for room in memory cpu kvm qemu snapshot domain vmi cover fuzz; do
	calls libfork/$room libcore
done
for room in base config control; do
	calls libfork/$room lib$room
done
calls forkd libforkd
calls xlfork libxlfork

only() {
	nothing "$1 is used in $3 only" "$(
		grep -rnE "#include <$2" libfork forkd xlfork |
			grep -vE "^($3)/" || true)"
}
only linux/kvm.h 'linux/kvm\.h>' libfork/kvm
only capstone 'capstone' libfork/insn
only libseccomp 'seccomp\.h>' forkd
only libxml2 'libxml/' libfork/config
only libsmartcols 'libsmartcols' xlfork

echo "1..$count"
exit $failed
