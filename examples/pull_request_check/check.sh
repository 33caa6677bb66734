#!/bin/sh
# Compare what two checkouts make of a recording: check.sh BASE HEAD [BAG]. Exit status 1: a criterion is not met.
# Each checkout needs its environment: `make .venv/demo`, and in HEAD `make .venv/test`.
set -eu
base=$1
head=$2
bag=$(realpath "${3:-$head/demo/street}")
out=$head/out/pull_request_check
here=$(dirname "$(realpath "$0")")

for checkout in "$base" "$head"; do
    # One thread: the same labels on every machine of a kind.
    "$checkout/.venv/bin/trt_perception" process "$bag" --output "$out/$(basename "$(realpath "$checkout")")" -p num_threads:=1
done
"$head/.venv/bin/trt_perception_tools" compare \
    "$out/$(basename "$(realpath "$head")")" "$out/$(basename "$(realpath "$base")")" \
    --criteria "$here/criteria.yaml" --images "$bag" --output "$out/comparison"
