# Two commands do everything: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread a process: work is spread over processes, and more threads than cores stand in each other's way.
export OMP_NUM_THREADS = 1

.PHONY: demo test install lint types check docs flower-versions bench fuzz results clean
.DEFAULT_GOAL := test

demo: install
	$(BIN)/fedward demo

test: install lint types check

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedward needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]' --group docs
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

check: install
	$(BIN)/pytest --numprocesses auto

# The site, in site/: broken links, missing references and undocumented names fail. site/index.html opens without a server.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The tests of fedward.flower with the oldest, the pinned and the newest Flower; FLOWER=newest for one of them.
flower-versions: install
	$(BIN)/python scripts/flower_versions.py $(FLOWER)

# BENCH=--quick for a small one; the peers get an environment of their own, .bench-venv.
bench: install
	$(BIN)/python -m benchmarks.speed $(BENCH)

# Hostile files, replies and command lines by the hundred thousand: a table of what went wrong. FUZZ="--only 'command lines'"
fuzz: install
	$(BIN)/python -m tests.fuzz.table $(FUZZ)

# ONLY="behaviour signguard" for some folders, in this order; JOBS=4 for as many processes. Stop it at will: it goes on.
# HOW=--dry-run says what is to be done, HOW=--write writes what is finished, HOW=--keep: see scripts/results.py.
results: install
	$(BIN)/python scripts/results.py $(ONLY) $(if $(JOBS),--jobs $(JOBS)) $(HOW)
	$(BIN)/python scripts/make_reproduction.py

clean:
	rm -rf $(VENV) .bench-venv demo runs site .pytest_cache .mypy_cache .ruff_cache .hypothesis
