# Everything depends on `setup`, which does nothing when it is up to date.
PYTHON ?= python3
DEVICE ?= stm32f100
RUN ?= runs/demo
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA_DIR := $(if $(MCUFORMER_DATA),$(abspath $(MCUFORMER_DATA)))
# a worker per core, of one torch thread each; a worker without tests takes some of another's;
# commands that tests start find compiled modules, whatever the user prefers
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=worksteal
RUNTIME := oplib/runtime
# its cache makes the second run take a second; .cppcheck says what is not followed, and why
CPPCHECK := --quiet -j 2 --error-exitcode=1 --cppcheck-build-dir=.cppcheck_cache --std=c99 \
  --enable=warning,style,performance,portability --inline-suppr --suppressions-list=.cppcheck \
  -I $(RUNTIME)/include $(addprefix -I $(RUNTIME)/port/,app cortex_m stm32) \
  $(addprefix $(RUNTIME)/,src support port boards)

.PHONY: help setup packages demo check test lint cppcheck docs sizes clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 10

setup: packages  ## virtual environment, Python packages, cross-compiler and emulator
	@sh tools/install_toolchain.sh

packages: $(STAMP)

$(STAMP): pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: setup  ## search, train, export and run on digits (DEVICE=stm32f746 for another board)
	$(BIN)/python -m mcuformer +experiment=demo device=$(DEVICE) run_dir=$(RUN)

check: packages lint cppcheck  ## linters, type checks and tiny tests: two minutes, no compiler, no data
	$(PYTEST) -m tiny

test: setup lint cppcheck  ## linters, type checks and all tests, emulator included
	MCUFORMER_DATA="$(DATA_DIR)" $(PYTEST)

lint: packages  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

cppcheck:  ## the C of operators, ports and boards, where cppcheck is installed
	@if command -v cppcheck > /dev/null; then mkdir -p .cppcheck_cache && cppcheck $(CPPCHECK); \
	else echo "cppcheck not found: the C is not checked by it"; fi

docs: packages  ## the site, in build/site; every link and figure is checked
	$(BIN)/python tools/check_docs.py
	$(BIN)/mkdocs build --strict --quiet

sizes: setup  ## measured sizes of the kernels
	$(BIN)/python tools/measure_code_size.py

clean:  ## remove what was built, not the environment and not the runs
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .cppcheck_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
