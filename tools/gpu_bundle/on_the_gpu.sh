#!/bin/sh
# Test and measure on this machine's GPU: `sh on_the_gpu.sh PYTHON RESULTS all|tests|measure`, in the repository's root.
# What the tests build, the measurements use. Status: that of what failed last.
set -u
python=$1 results=$2 what=$3
mkdir -p "$results"
results=$(cd "$results" && pwd)
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME="$results/cache"
status=0

measure() {
  script=$1
  shift
  "$python" "docs/measurements/$script.py" "$@" > "$results/$script.md" 2> "$results/$script.err" || status=$?
  cat "$results/$script.md"
  tail -n 2 "$results/$script.err"
}

"$python" -m trt_perception doctor > "$results/doctor.txt" 2>&1 || true
if [ "$what" != measure ]; then
  "$python" -m pytest -p no:cacheprovider -ra --durations=10 --basetemp="$results/made" \
    test/gpu --ignore test/gpu/test_rehearsal.py > "$results/tests.txt" 2>&1 || status=$?
  tail -n 25 "$results/tests.txt"
fi
if [ "$what" != tests ]; then
  measure gpu "$results/made/engines"
  measure kernels
fi
exit $status
