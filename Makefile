# Start with `make quickstart` or `make test`; every target sets up .venv if necessary.
VENV := .venv
PYTHON := $(VENV)/bin/python
HARNESS := $(VENV)/bin/harness
BASE_PYTHON ?= python3
# let Python cache bytecode, which the setup compiles: without it, every start would compile every import
export PYTHONDONTWRITEBYTECODE :=
QUICK := robustness prompts peft gan fusion
SUITES := $(QUICK) training training-layers mllm retrieval retrieval-choices attributes detection segmentation

.PHONY: quickstart suites test lint types benchmark docs clean setup

quickstart: $(VENV)/.ready
	@$(HARNESS) run $(addsuffix @quick,$(QUICK)) --report results/report.html
	@echo "all of the embedded suites, some 15 minutes on two cores: make suites"

suites: $(VENV)/.ready
	$(HARNESS) run $(SUITES) --report results/report.html

# one process per core, one thread each; tests of one file run together and share fixtures
WORKERS ?= 2
test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile

lint: $(VENV)/.ready
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: $(VENV)/.ready
	$(PYTHON) -m mypy

benchmark: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/benchmarks --benchmark-enable

docs: $(VENV)/.ready
	$(PYTHON) -m mkdocs build --quiet -f .docs/mkdocs.yml

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set BASE_PYTHON"; exit 1; }
	@if command -v uv >/dev/null; then \
	  { test -x $(PYTHON) || uv venv --quiet --python $(BASE_PYTHON) $(VENV); } && \
	  uv pip install --quiet --compile-bytecode --python $(PYTHON) -e '.[dev]'; \
	else \
	  { test -x $(PYTHON) || $(BASE_PYTHON) -m venv $(VENV); } && \
	  $(PYTHON) -m pip install --quiet -e '.[dev]'; \
	fi
	@$(PYTHON) -m compileall -q harness plugins suites
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
