#!/bin/sh
# Installs into a folder of the build and uses what lies there as a stranger would: builds each
# example with nothing but pkg-config, against the shared and against the static library, and runs
# one of each.
#
#   tests/install/install.sh SOURCE BUILD CC
set -eu
source=$1 build=$2 cc=$3
command -v pkg-config >/dev/null || exit 77
stage=$build/tests/install/stage
rm -rf "$stage"
mkdir -p "$stage"
meson install -C "$build" --no-rebuild --destdir "$stage" >"$stage/log" || { cat "$stage/log"; exit 1; }
pc=$(find "$stage" -name rill.pc)
prefix=$stage$(sed -n 's/^prefix=//p' "$pc")
libdir=$stage$(pkg-config --variable=libdir "$pc")
grep -v '^/' "$stage/log" || true

# Only the prefix is another than the one that was configured.
export PKG_CONFIG_PATH="${pc%/rill.pc}"
use() { pkg-config --define-variable=prefix="$prefix" "$@" rill; }
cflags=$(use --cflags)
shared=$(use --libs)
# As the README says: by its file name, the linker takes the static library where both are there.
static=$(use --static --libs | sed 's/-lrill/-l:librill.a/')

mkdir "$stage/out"
cd "$stage/out" # away from the sources: nothing of the tree is found by chance
for file in "$source"/examples/*.c; do
    name=$(basename "$file" .c)
    cp "$file" .
    # custom_op calls the mathematical library itself and says so.
    own=$(sed -n 's/^ \* *cc .*) *\(-l[a-z]*\) .*/\1/p' "$name.c")
    # shellcheck disable=SC2086 # lists of options
    {
        $cc -std=c11 -Wall -Wextra -Wconversion -pedantic -Werror "$name.c" $cflags $shared $own -o "$name"
        $cc -std=c11 "$name.c" $cflags $static $own -o "$name-static"
    }
    if readelf -d "$name-static" | grep -q librill; then
        echo "$name-static needs the shared library"
        exit 1
    fi
    echo "built $name"
done
LD_LIBRARY_PATH=$libdir ./xor
./xor-static
LD_LIBRARY_PATH=$libdir "$prefix/bin/rill" --version
