#!/bin/sh
# A room includes only itself and the rooms before it, in the order in which data flows.
#
#   tests/install/rooms.sh SOURCE
set -eu
cd "$1"
status=0
before=""
for room in core graph ops autodiff passes exec io train check draw; do
    [ -d "src/$room" ] || { echo "src/$room is missing"; exit 1; }
    before="$before $room"
    allowed=$(echo "$before" | tr ' ' '|')
    # "room/file.h" or, within the room, "file.h"; <...> is the system's, cJSON's or rill's own.
    for file in $(find "src/$room" -name '*.[ch]'); do
        for include in $(sed -n 's/^ *# *include "\([^"]*\)".*/\1/p' "$file"); do
            case $include in
            rill/*) ;;
            */*)
                echo "$include" | grep -q -E "^(${allowed#|})/" ||
                    { echo "$file includes $include, of a later room"; status=1; }
                ;;
            *) echo "$file includes \"$include\": say which room it is of"; status=1 ;;
            esac
        done
    done
done
# The command uses the library as any program does.
if grep -n '#include "' tools/*.[ch] | grep -v '"rill/\|"cli[_a-z]*\.h"'; then
    echo "tools/ includes more than the public headers"
    status=1
fi
[ $status -eq 0 ] && echo "rooms: ok"
exit $status
