#!/bin/sh
# Runs the tests of everything that shares memory between threads under ThreadSanitizer.
#
#   tests/tsan.sh [BUILD-FOLDER] [TEST...]
#
# Without names: the team, and the tests of programs, sessions and the scheduler.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-"$source/build-tsan"}
[ $# -gt 0 ] && shift
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" "$source" -Dbuildtype=debugoptimized \
        -Db_sanitize=thread -Db_lundef=false -Dtools=false -Dexamples=false -Dbench=false
fi
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
if [ $# -eq 0 ]; then
    # meson prints "rill:NAME" or "NAME", by version.
    set -- $(meson test -C "$build" --list 2>/dev/null | sed -n 's/^.*[: ]//; /^exec_plan$/d; /^exec_oom$/d; /^core_thread$/p; /^exec_/p')
fi
for name; do targets="${targets:-} tests/test_$name"; done
# shellcheck disable=SC2086 # a list of targets
ninja -C "$build" -j "$jobs" $targets
TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1" \
    meson test -C "$build" --no-rebuild --print-errorlogs "$@"
