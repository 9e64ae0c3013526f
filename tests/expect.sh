#!/bin/sh
# Runs a program and looks for lines in what it prints.
#
#   tests/expect.sh EXPECTED PROGRAM [ARGUMENT...]
#
# Each line of the file EXPECTED, an extended regular expression, must match a whole line of the
# output, each below the one before; the exit status must be 0.
set -eu
expected=$1
shift
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
"$@" >"$output" 2>&1 || status=$?
cat "$output"
[ $status -eq 0 ] || { echo "expected exit status 0, got $status"; exit 1; }
line=1
while IFS= read -r pattern; do
    found=$(tail -n +$line "$output" | grep -n -x -E -m 1 -e "$pattern" | cut -d: -f1) || true
    [ -n "$found" ] || { echo "nothing from line $line on matches: $pattern"; exit 1; }
    line=$((line + found))
done <"$expected"
