#!/bin/sh
# Verify the pieces of the bundle in this folder, unpack them to ./bundle, and run: `sh run.sh [all|tests|measure]`.
# Needs only an NVIDIA GPU with a driver >= 520, tar and gzip, and no network. Results: ./results.
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
cd bundle/repository
exec sh tools/gpu_bundle/on_the_gpu.sh python3.10 "$here/results" "$what"
