#!/bin/sh
# docs/command.md names every command and every option of its --help, and no others.
#
#   tests/docs/options.sh RILL PAGE
set -eu
rill=$1 page=$2
status=0
options() { grep -o -E -e "(^|[^-[:alnum:]])--?[a-z][a-z-]*" | grep -o -E -e '--?[a-z-]+$' | sort -u; }
for command in $("$rill" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    # The section of a command, or of two.
    section=$(awk -v c="rill $command" '/^## / {on = index($0 ",", c ",") > 0} on' "$page")
    [ -n "$section" ] || { echo "no section for rill $command"; status=1; continue; }
    for option in $("$rill" "$command" --help | sed -n 's/^  \(-[a-z-]*\) .*/\1/p'); do
        [ "$option" = --help ] && continue
        printf '%s\n' "$section" | grep -q -e "[\` ]$option[\` ]" ||
            { echo "rill $command: $option is not in $page"; status=1; }
    done
done
known=$(for c in $("$rill" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do "$rill" "$c" --help; done | options)
for option in $(grep -o -E -e '`--?[a-z][a-z-]*' "$page" | tr -d '`' | sort -u); do
    [ "$option" = --name ] || printf '%s\n' "$known" | grep -q -x -e "$option" ||
        { echo "no command has the option $option of $page"; status=1; }
done
[ $status -eq 0 ] && echo "options: ok"
exit $status
