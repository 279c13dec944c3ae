# Every target sets up what it needs: a virtual environment, the build, the packages of that target.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := build/stamps
PIP := $(PY) -m pip install -q --disable-pip-version-check
TORCH := torch==2.13.0

.PHONY: all build demo test parity bench lint format asan wheel wheel-test clean
all: build

$(PY):
	$(PYTHON) -m venv $(VENV)

$(STAMP)/build-tools: $(PY) pyproject.toml
	@mkdir -p $(STAMP)
	$(PIP) "scikit-build-core>=0.11" "nanobind>=2.9" "llvmlite>=0.45" "numpy>=2.0" "safetensors>=0.8" "scipy-openblas32>=0.3.27" cmake ninja
	@touch $@

$(STAMP)/test: $(STAMP)/build-tools
	$(PIP) "pytest>=8" "pytest-timeout>=2.3" "hypothesis>=6.100" "scipy>=1.15" "mpmath>=1.3" "rich>=13" "tensorboardX>=2.6" "matplotlib>=3.7"
	$(PIP) "array-api-compat>=1.11" "array-api-extra>=0.7" "array-api-strict>=2.3" "scikit-learn>=1.6" "einops>=0.8" "pandas>=2.2" "pyarrow>=15"
	@touch $@

$(STAMP)/demo: $(STAMP)/build-tools
	$(PIP) "rich>=13" "tensorboardX>=2.6" "matplotlib>=3.7"
	@touch $@

$(STAMP)/torch: $(STAMP)/test
	$(PIP) $(TORCH)
	@touch $@

$(STAMP)/jax: $(STAMP)/torch
	-$(PIP) "jax>=0.10" "jaxlib>=0.10"
	@touch $@

$(STAMP)/lint: $(STAMP)/build-tools
	$(PIP) "ruff>=0.14" "mypy>=1.15" "clang-format>=19"
	@touch $@

build: $(STAMP)/build-tools
	PYTHON=$(PY) ./dev build

demo: build $(STAMP)/demo
	$(PY) examples/shakespeare/demo.py

test: build $(STAMP)/test
	$(PY) -m pytest -q tests --ignore=tests/parity

parity: build $(STAMP)/torch
	$(PY) -m pytest -q tests/parity

bench: build $(STAMP)/jax
	$(PY) -m benchmarks.run

lint: $(STAMP)/lint build
	$(PY) -m ruff check taeda tests benchmarks examples tools
	$(PY) -m ruff format --check taeda tests benchmarks examples tools
	$(VENV)/bin/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h' '*.cpp' '*.hpp')
	$(PY) -m mypy
	$(PY) tools/check_layers.py
	$(PY) tools/make_stubs.py --check

format: $(STAMP)/lint
	$(PY) -m ruff check --fix-only -q taeda tests benchmarks examples tools
	$(PY) -m ruff format -q taeda tests benchmarks examples tools
	$(VENV)/bin/clang-format -i $$(git ls-files '*.c' '*.h' '*.cpp' '*.hpp')

asan: $(STAMP)/test
	PYTHON=$(PY) tools/asan.sh

wheel: $(STAMP)/build-tools
	$(PIP) "build>=1.2"
	rm -rf dist
	$(PY) -m build --wheel --no-isolation -o dist .

wheel-test: wheel $(STAMP)/lint
	PYTHON=$(PY) tools/check_wheel.sh

clean:
	rm -rf build dist taeda/*.so
