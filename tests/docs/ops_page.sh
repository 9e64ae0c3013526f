#!/bin/sh
# docs/ops.md is what the registry says now.
#
#   tests/docs/ops_page.sh RILL PAGE
set -eu
"$1" ops --markdown | diff -u "$2" - || {
    echo "docs/ops.md is out of date: run scripts/docs"
    exit 1
}
