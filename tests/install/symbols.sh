#!/bin/sh
# What the libraries define and what they lean on.
#
#   tests/install/symbols.sh LIBRILL.A LIBRILL.SO SONAME
#
# - every global symbol starts with rill_, in the static library too, where visibility does not help;
# - the shared library has its SONAME and no way to print, exit, abort or draw global random numbers;
# - the only objects that can be written are those listed below.
set -eu
static=$1 shared=$2 soname=$3
command -v nm >/dev/null && command -v objdump >/dev/null || exit 77
status=0
complain() {
    echo "$1:"
    printf '%s\n' "$2" | sed 's/^/    /'
    status=1
}

foreign=$(nm -g --defined-only "$static" 2>/dev/null | awk 'NF == 3 && $3 !~ /^rill_/ {print $3}')
[ -z "$foreign" ] || complain "global symbols of the static library without the prefix" "$foreign"
foreign=$(nm -D --defined-only "$shared" | awk '$3 !~ /^rill_/ {print $3}')
[ -z "$foreign" ] || complain "symbols of the shared library without the prefix" "$foreign"

# Internal functions are hidden: what is exported is what a header declares.
exported=$(nm -D --defined-only "$shared" | awk '{print $3}')
include=$(cd "$(dirname "$0")/../../include" && pwd)
for symbol in $exported; do
    grep -q -w "$symbol" "$include"/rill/*.h || complain "exported, but in no public header" "$symbol"
done

objdump -p "$shared" | grep -q -E "SONAME +$soname\$" || complain "SONAME" "expected $soname"

# The library reports by status, never by itself.
forbidden='abort|_?exit|_Exit|quick_exit|__assert_fail|f?printf|v?f?printf|__v?f?printf_chk|f?puts|f?putc|putchar'
forbidden="$forbidden|perror|std(out|err)|rand|srand|random|drand48|setlocale|strtod|strtof|atof|signal|sigaction"
forbidden="$forbidden|raise|getenv|setenv|putenv|longjmp|fesetround|feenableexcept"
used=$(nm -D --undefined-only "$shared" | awk '{print $NF}' | sed 's/@.*//' | grep -x -E "$forbidden") || true
[ -z "$used" ] || complain "functions that the library must not call" "$used"

# file:object. All that is not constant after loading:
#   context: builtin   the context that NULL stands for; filled in at compile time, never written
#   cpu: known         the level of the CPU, found once
#   denormals: saved   of each thread: its mode before a run flushed denormals
#   thread: in_team    of each thread: inside a call of a team already
#   blas: guard        how many runs hold OpenBLAS at one thread
allowed='context:builtin|cpu:known|denormals:saved|thread:in_team|blas:guard'
# .data.rel.ro is constant after relocation; .data.rel.local is not.
written=$(objdump -t "$static" 2>/dev/null | awk '
    /file format/ {file = $1; sub(/:$/, "", file); sub(/^.*core_|^.*ops_/, "", file); sub(/\.c\.o$/, "", file)}
    $0 ~ /[ \t]\.(bss|data|tbss|tdata)([^ \t]*)[ \t]/ && $0 !~ /\.rel\.ro/ {
        name = $NF
        if (name ~ /^\./) next
        sub(/\.[0-9]+$/, "", name) # gcc calls a static of a function known.0, clang rill_cpu.known
        sub(/^.*\./, "", name)
        print file ":" name
    }' | grep -v -x -E "$allowed") || true
[ -z "$written" ] || complain "writable objects that are not on the list" "$written"
[ $status -eq 0 ] && echo "symbols: ok"
exit $status
