#!/usr/bin/env bash
# Builds the extension and the runtime with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests of the C and C++ parts.
set -euo pipefail
cd "$(dirname "$0")/.."
PY="${PYTHON:-.venv/bin/python}"
BUILD=build-asan
mkdir -p "$BUILD/site"
cmake -S . -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTAEDA_SANITIZE=ON -DPython_EXECUTABLE="$(cd "$(dirname "$PY")" && pwd)/python" >"$BUILD/configure.log"
ninja -C "$BUILD" -j2 | tail -1
# A copy of the package beside the sanitised extension, so that the ordinary build stays as it is.
rm -rf "$BUILD/site/taeda" && cp -r taeda "$BUILD/site/taeda" && rm -f "$BUILD"/site/taeda/*.so && cp "$BUILD"/_core*.so "$BUILD/site/taeda/"
export LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so) $(g++ -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export PYTHONPATH="$PWD/$BUILD/site" TAEDA_CACHE_DIR="$PWD/$BUILD/cache"
[ $# -gt 0 ] || set -- tests/core tests/autograd tests/ops tests/codegen/test_gemm.py tests/compile/test_plans.py tests/test_serialization.py
exec "$PY" -m pytest -q -p no:cacheprovider "$@" -o "pythonpath=$BUILD/site"
