#!/bin/sh
# Each public header compiles alone, without a warning, as C11, C17 and C++17.
#
#   tests/install/headers.sh INCLUDE COMPILER... (C compilers; g++ and clang++ are looked for)
set -eu
include=$1
shift
warnings="-Wall -Wextra -pedantic -Wconversion -Wshadow -Werror -fsyntax-only"
tried=0
compile() { # COMPILER LANGUAGE STANDARD
    command -v "${1%% *}" >/dev/null || return 0
    for header in "$include"/rill/*.h; do
        name=rill/$(basename "$header")
        # Twice: the guard holds, too.
        printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
            # shellcheck disable=SC2086 # lists of options
            $1 -x "$2" -std="$3" $warnings -I"$include" - ||
            { echo "$name does not compile as $3 with $1"; exit 1; }
    done
    echo "$1 -std=$3: ok"
    tried=$((tried + 1))
}
for cc; do
    compile "$cc" c c11
    compile "$cc" c c17
done
for cxx in g++ clang++; do compile $cxx c++ c++17; done
[ $tried -gt 0 ] || exit 77
