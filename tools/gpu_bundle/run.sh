#!/bin/sh
# Verify the pieces of the bundle in this folder, unpack them into ./bundle, and run: `sh run.sh [all|tests|measure]`.
# Needs an NVIDIA GPU with a driver >= 520, tar and gzip; nothing else, no network. Results: ./results.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
what=${1:-all}
cd "$here"
sha256sum --quiet --check SHA256SUMS
if [ ! -e bundle/complete ]; then
  rm -rf bundle && mkdir bundle
  cat bundle.tar.gz.* | tar -xz -C bundle
  touch bundle/complete
fi
echo "verified and unpacked: $(du -sm bundle | cut -f1) MB"
export PATH="$here/bundle/bin:$here/bundle/python/bin:$PATH" PYTHONHOME="$here/bundle/python"
export PYTHONPATH="$here/bundle/repository:$here/bundle/site" PYTHONDONTWRITEBYTECODE=1
export LD_LIBRARY_PATH="$here/bundle/empty:$here/bundle/python/lib:${LD_LIBRARY_PATH:-}"
export XDG_CACHE_HOME="$here/cache"
mkdir -p results
cd bundle/repository
python3.10 -m trt_perception doctor > "$here/results/doctor.txt" 2>&1 || true
status=0
if [ "$what" != measure ]; then
  python3.10 -m pytest -p no:cacheprovider -ra test/gpu > "$here/results/tests.txt" 2>&1 || status=$?
  tail -n 25 "$here/results/tests.txt"
fi
if [ "$what" != tests ]; then
  python3.10 docs/measurements/gpu.py > "$here/results/gpu.md" 2> "$here/results/gpu.err" || status=$?
  python3.10 docs/measurements/kernels.py > "$here/results/kernels.md" 2> "$here/results/kernels.err" || status=$?
  cat "$here/results/gpu.md" "$here/results/kernels.md"
  tail -n 2 "$here/results/gpu.err" "$here/results/kernels.err"
fi
exit $status
