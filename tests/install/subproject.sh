#!/bin/sh
# A Meson project takes rill as a subproject: it gets the dependency "rill", and none of rill's tests,
# examples or benchmarks. Configured only; building it would build all of rill again.
#
#   tests/install/subproject.sh SOURCE BUILD
set -eu
source=$1 work=$2/tests/install/consumer
rm -rf "$work"
mkdir -p "$work/subprojects"
ln -s "$source" "$work/subprojects/rill"
cp "$source/examples/xor.c" "$work"
cat >"$work/meson.build" <<'END'
project('consumer', 'c', default_options: ['c_std=c11'])
subproject('rill')
executable('xor', 'xor.c', dependencies: dependency('rill'))
END
meson setup "$work/build" "$work" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
ninja -C "$work/build" -t targets all >"$work/targets"
grep -q '^xor: ' "$work/targets" || { echo "no program in the consumer"; exit 1; }
if grep -E '^[^:]*(test_|example_|bench_)' "$work/targets"; then
    echo "a subproject must not bring these"
    exit 1
fi
echo "subproject: ok"
