#!/usr/bin/env bash
# Run the round trip with other versions of the official client:  bash tests/hub/versions.sh 1.33.0 2.4.0
# Each gets an environment of its own, which borrows everything else (torch, lightning, …) from the one of this checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=${PYTHON:-.venv/bin/python}
packages=$("$here" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
for version in "$@"; do
  place=$(mktemp -d)
  trap 'rm -rf "$place"' EXIT
  "$here" -m venv --without-pip "$place"
  "$here" -m pip --python "$place/bin/python" install --quiet "huggingface_hub==$version"
  # after the environment's own packages on the path, so that its client is the one that is imported
  "$place/bin/python" -c 'import sys, sysconfig; open(sysconfig.get_path("purelib") + "/borrowed.pth", "w").write(sys.argv[1])' "$packages"
  "$place/bin/python" -c 'import huggingface_hub as h, sys; print("huggingface_hub", h.__version__); assert h.__version__ == sys.argv[1]' "$version"
  PYTHONPATH=$PWD "$place/bin/python" -m pytest -q tests/hub tests/faults/test_server.py
done
