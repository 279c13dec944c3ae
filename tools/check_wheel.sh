#!/usr/bin/env bash
# Installs dist/*.whl into a fresh environment and uses it from there, away from the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf build/wheel-venv
"${PYTHON:-python3}" -m venv build/wheel-venv
build/wheel-venv/bin/python -m pip install -q --disable-pip-version-check dist/taeda-*.whl
ROOT="$PWD" TOOLS="$(cd "$(dirname "${PYTHON:-python3}")" && pwd)/$(basename "${PYTHON:-python3}")"
size=$(stat -c %s dist/taeda-*.whl)
echo "wheel: $((size / 1000)) kB"
[ "$size" -le 10000000 ] || { echo "more than 10 MB"; exit 1; }
cd build/wheel-venv
bin/python "$ROOT/tools/check_wheel.py" "$ROOT/examples/shakespeare"
"$TOOLS" -m mypy --python-executable bin/python --cache-dir "$ROOT/build/mypy" --disallow-untyped-calls --warn-unused-ignores --config-file /dev/null \
  "$ROOT/tools/typed_program.py" 2>&1 | grep -v "No \[mypy\] section"
bin/python "$ROOT/tools/typed_program.py"
bin/python -m pip install -q --disable-pip-version-check "scipy>=1.11" # the operators' samples use it
bin/python "$ROOT/tools/prebuild_keys.py" --check
