#!/usr/bin/env bash
# Builds the extension and the runtime with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests of the C and C++ parts.
# Arguments are pytest's; without any, all tests that reach those parts are run.
set -euo pipefail
cd "$(dirname "$0")/.."
PY="${PYTHON:-.venv/bin/python}"
BUILD=build-asan
mkdir -p "$BUILD/site"
exec 9>"$BUILD/.lock"; flock 9
cmake -S . -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTAEDA_SANITIZE=ON -DPython_EXECUTABLE="$(cd "$(dirname "$PY")" && pwd)/python" >"$BUILD/configure.log" ||
  { tail -40 "$BUILD/configure.log"; exit 1; }
ninja -C "$BUILD" -j2 2>&1 | grep -vE '^\[[0-9]+/[0-9]+\] |^ninja: (Entering|no work)' || [ "${PIPESTATUS[0]}" = 0 ]
# A copy of the package beside the sanitised extension, so that the ordinary build stays as it is.
rm -rf "$BUILD/site/taeda" && cp -r taeda "$BUILD/site/taeda" && rm -f "$BUILD"/site/taeda/*.so && cp "$BUILD"/_core*.so "$BUILD/site/taeda/"
if [ $# -eq 0 ]; then
  # These run programs of their own, sanitised too, and must not inherit what follows.
  "$PY" -m pytest -q -p no:cacheprovider tests/runtime -k "sanitized or races"
  set -- tests/core tests/autograd tests/ops tests/codegen/test_gemm.py tests/codegen/test_loader.py tests/compile/test_plans.py tests/test_serialization.py
fi
# pytest keeps what a test writes to stderr, and a report ends the process: reports go to files.
REPORTS="$PWD/$BUILD/reports"
rm -rf "$REPORTS" && mkdir "$REPORTS"
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:log_path=$REPORTS/asan"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$REPORTS/ubsan"
export PYTHONPATH="$PWD/$BUILD/site" TAEDA_CACHE_DIR="$PWD/$BUILD/cache"
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so) $(g++ -print-file-name=libstdc++.so)" \
  "$PY" -m pytest -q -p no:cacheprovider "$@" -o "pythonpath=$BUILD/site" && exit
status=$?
grep -hs "" "$REPORTS"/* | grep -vE " (Python|Objects|Modules|Include)/" | head -80
exit $status
