#!/bin/sh
# The networks of examples/models have as many parameters as their papers' implementations.
#
#   models.sh EXAMPLE_MODELS RILL
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
while read -r name parameters; do
    "$1" "$name" "$folder/$name.json"
    "$2" check "$folder/$name.json" >"$folder/summary"
    grep -F "$parameters" "$folder/summary" || {
        echo "$name: expected $parameters parameters, got:"
        tail -n 5 "$folder/summary"
        exit 1
    }
done <<END
vgg16 138,357,544
resnet50 25,557,032
mobilenet 4,231,976
END
