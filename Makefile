# Two commands do everything: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread a process: work is spread over processes, and more threads than cores stand in each other's way.
export OMP_NUM_THREADS = 1

.PHONY: demo test install lint types check coverage oldest docs dist lock flower-versions bench fuzz results clean
.DEFAULT_GOAL := test

demo: install
	$(BIN)/fedward demo

test: install lint types check

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedward needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[cli,data,figures,files,flower,nvflare]' --group dev
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sp-repo-review . --format rich

types: install
	$(BIN)/mypy

# PYTEST="tests/core -k norm" for some of them, or any other arguments of pytest.
check: install
	$(BIN)/pytest --numprocesses auto $(PYTEST)

# The same with what is run counted, statement by statement; fails below the floor that pyproject.toml names.
coverage: install
	$(BIN)/pytest --numprocesses auto --cov --cov-report=term:skip-covered --cov-report=xml $(PYTEST)

# The quick part of the tests with the oldest versions that pyproject.toml admits, in an environment of their own.
# Old packages use what the newest of those beneath them deprecate.
OLDEST := .oldest-venv/bin
QUICK := $(addprefix tests/,attacks cli/test_cli.py conformance core disk registry report stack training)
oldest: $(OLDEST)/../.installed
	$(OLDEST)/pytest --numprocesses auto -W ignore::DeprecationWarning -W ignore::FutureWarning $(QUICK)

$(OLDEST)/../.installed: pyproject.toml constraints-oldest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "the oldest versions are those for Python 3.11: make oldest PYTHON=python3.11")'
	$(PYTHON) -m venv .oldest-venv
	$(OLDEST)/pip install --quiet --upgrade pip
	$(OLDEST)/pip install --quiet --constraint constraints-oldest.txt --editable '.[cli,data,figures,files]' --group test
	@touch $@

# The site, in site/: broken links, missing references and undocumented names fail. site/index.html opens without a server.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The wheel and the source archive, in dist/, and the tests of what is in them.
dist: install
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/pytest -q tests/release

# Both lists of pinned versions anew from pyproject.toml; a pin stays unless it must move. LOCK=--upgrade moves all,
# LOCK="--upgrade-package rich" one.
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --no-annotate --custom-compile-command 'make lock'
lock: install
	$(COMPILE) --universal --extra cli --extra data --extra figures --extra files --extra flower --extra nvflare --group dev \
		--output-file constraints.txt $(LOCK)
	@# As for arm64, where PyTorch 2.4 has no CUDA to be pinned. The tests of Flower's oldest are flower-versions.
	$(COMPILE) --resolution lowest-direct --python-version 3.11 --python-platform aarch64-manylinux_2_28 \
		--extra cli --extra data --extra figures --extra files --group test --output-file constraints-oldest.txt

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
	rm -rf $(VENV) .bench-venv .oldest-venv demo dist runs site coverage.xml .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
