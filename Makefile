# Everything is set up by the targets themselves: Python and make are enough.
#   make test     the one test command; make demo   see it work
# VENV and PYTHON choose another environment and interpreter, ARGS goes to
# pytest, the chaos program or the benchmarks: make unit ARGS="-k codec".

PYTHON ?= python3
VENV ?= .venv
# Interpreters that `make versions` and `make test-all` try; one that is not there is left out.
VERSIONS ?= 3.12 3.13 3.14
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST = $(BIN)/python -m pytest
MEASURED = $(BIN)/python -m coverage run -m pytest

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help test lint types pyright contract unit processes processes-file processes-all hosts cluster-netns cluster-ray suites apart beside coverage \
	browser slow truth chaos interrupts fuzz soak doctor-truth quick versions test-all python-suites own-suites from-source package docs demo bench bench-programs bench-published bench-ray bench-faults format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sort | \
		awk -F ':.*## ' '{ printf "  make %-15s %s\n", $$1, $$2 }'

# --- set-up: one stamp for what a user needs, one each for developer's tools ---

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.installed-pyright: $(VENV)/.installed-dev
	$(PIP) 'pyright[nodejs]'
	@touch $@

$(VENV)/.installed-package: $(BIN)/python
	$(PIP) build twine
	@touch $@

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[bench]'
	@touch $@

# --- checks --------------------------------------------------------------------

# Two lanes side by side, for the tests of processes wait more than they compute. A marker in a
# file says where its tests run: see pyproject.toml. A browser takes a core to itself.
test: ## every check and every fast test
	$(MAKE) lint types contract docs
	$(MAKE) -j2 --output-sync=target apart beside
	$(MAKE) browser

lint: $(VENV)/.installed-dev ## ruff: rules and format; spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/.installed-dev ## mypy, strict; the types that users' programs and the pages see
	$(BIN)/mypy
	$(BIN)/python -m tests.typing mypy

# Not part of `types`: pyright fetches its program from npm when it runs for the first time.
pyright: $(VENV)/.installed-pyright ## the same by pyright, and that all public names have types
	$(BIN)/python -m tests.typing pyright

contract: $(VENV)/.installed-dev ## imports point down only
	$(BIN)/lint-imports

unit: $(VENV)/.installed-dev ## tests without a child process
	$(PYTEST) tests/unit $(ARGS)

processes: $(VENV)/.installed-dev ## tests with real workers, memory from memfd
	$(PYTEST) tests/processes $(ARGS)

processes-file: $(VENV)/.installed-dev ## the same, memory from unlinked files
	ONECOPY_BACKING=file $(PYTEST) tests/processes $(ARGS)

processes-all: $(VENV)/.installed-dev ## every test under every start method, on both backings
	$(PYTEST) tests/processes --doors=all $(ARGS)
	ONECOPY_BACKING=file $(PYTEST) tests/processes --doors=all $(ARGS)

hosts: $(VENV)/.installed-dev ## the pool's own tests once more, on hosts that are processes of this machine
	$(PYTEST) tests/processes --hosts=1 $(ARGS)

cluster-netns: $(VENV)/.installed-dev ## a Dask cluster on three network namespaces: bytes, memory, losses (needs root)
	$(PYTEST) tests/slow/test_cluster_netns.py -s --timeout=300 $(ARGS)

# Not part of `dev`: Ray is large, and its nodes take some seconds to start.
$(VENV)/.installed-ray: $(VENV)/.installed-dev
	$(PIP) -e '.[ray]'
	@touch $@

cluster-ray: $(VENV)/.installed-ray ## the tests of several hosts on a Ray cluster of this machine
	$(PYTEST) tests/processes/test_cluster.py --cluster=ray $(ARGS)
	$(PYTEST) tests/processes/test_cluster_large_results.py --cluster=ray $(ARGS)
	$(PYTEST) tests/processes/test_cluster_ray.py $(ARGS)

suites: unit processes processes-file

apart: $(VENV)/.installed-dev
	$(PYTEST) tests/processes -m "not beside" $(ARGS)

beside: $(VENV)/.installed-dev
	$(PYTEST) tests/unit $(ARGS)
	$(PYTEST) tests/processes -m beside $(ARGS)
	@# How workers start and what stands above the memory does not know of the second backing. Its files
	@# are in memory where that can be: a slow disk takes four times as long, and tells no more.
	$(if $(wildcard /dev/shm),TMPDIR=/dev/shm) ONECOPY_BACKING=file $(PYTEST) tests/processes -m memory --doors=all --start=fork $(ARGS)

browser: $(VENV)/.installed-dev ## the report's page in Chromium (apt-get install chromium)
	$(PYTEST) tests/browser $(ARGS)

coverage: $(VENV)/.installed-dev ## what the unit tests and those under fork reach
	$(BIN)/python -m coverage erase
	$(MEASURED) tests/unit $(ARGS)
	@# Measuring makes interpreters start slowly: what is forked tells the most for its time.
	$(MEASURED) tests/processes --doors=some --start=fork $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

slow: $(VENV)/.installed-dev ## full-size tests, the soak among them
	$(PYTEST) tests/slow --timeout=1200 $(ARGS)

truth: $(VENV)/.installed-dev ## programs with one known fault each: does the report name it?
	$(BIN)/python -m tests.truth $(ARGS)

chaos: $(VENV)/.installed-dev ## 100,000 tasks and 500 faults under each start method; Ctrl-C 10,000 times
	$(BIN)/python -m tests.chaos $(ARGS)
	$(PYTEST) tests/slow/test_ctrl_c.py --timeout=600

fuzz: $(VENV)/.installed-dev ## 20,000 damaged files through every reader, under a memory limit
	$(BIN)/python -m tests.fuzz $(ARGS)

interrupts: $(VENV)/.installed-dev ## a handler that raises at each step of each operation
	$(BIN)/python -m tests.interrupt_steps

doctor-truth: $(VENV)/.installed-dev ## programs with known faults: found, none besides, and what cures save (ARGS=--overhead: what watching costs)
	$(BIN)/python -m tests.doctor $(ARGS)

soak: $(VENV)/.installed-dev ## a million tasks by one pool: memory and descriptors stay flat
	$(PYTEST) tests/slow/test_soak.py -s --timeout=1200 $(ARGS)

# In other Pythons, by the library's own dependencies alone: the core, and what pages show of
# pools, executors, asyncio, logs, limits, deaths and notebooks.
QUICK := tests/unit/test_codec.py tests/unit/test_future.py tests/processes/test_docs.py \
	-k "codec or future or index or tutorial or executor or asyncio or logs or limits or killed or notebooks"

# The first that works: on PATH, where it may be a shim of pyenv that does not, then pyenv's own.
# It makes $(1) with PYTHON and VENV set.
define on-every-other-python
	@for version in $(VERSIONS); do \
		for python in python$$version $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*[0-9]/bin/python none; do \
			if $$python -c '' 2> /dev/null; then break; fi; \
		done; \
		if [ $$python = none ]; then \
			echo "python$$version: not found, left out"; \
		else \
			$(MAKE) $(1) PYTHON=$$python VENV=.venv-$$version || exit 1; \
		fi; \
	done
endef

$(VENV)/.installed-quick: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e . pytest pytest-timeout hypothesis
	@touch $@

quick: $(VENV)/.installed-quick
	$(PYTEST) $(QUICK)

versions: ## a short test on every other Python found
	$(call on-every-other-python,quick)

test-all: test ## test, then the suites on every other Python found
	$(call on-every-other-python,suites)

own-suites: $(VENV)/.installed-quick
	$(BIN)/python -m tests.suites $(ARGS)

python-suites: $(VENV)/.installed-dev ## CPython's and joblib's own suites, on every Python found
	$(BIN)/python -m tests.suites $(ARGS)
	$(call on-every-other-python,own-suites)

# --- use -----------------------------------------------------------------------

demo: $(VENV)/.installed-run ## see what one copy saves, on this machine
	@# Workers import from the source tree, which pip does not compile.
	$(BIN)/python -m compileall -q src/onecopy
	$(BIN)/onecopy demo

docs: $(VENV)/.installed-docs $(VENV)/.installed-dev ## the documentation: site/index.html
	@# The variable silences Material's notice about MkDocs' future, in every build.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python -m tests.site

package: $(VENV)/.installed-package ## dist/: a wheel, and a source distribution that is tested
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	@# As a user who has nothing else: in a folder outside of this one, by an environment made there.
	@folder=$$(mktemp -d) && tar -xzf dist/*.tar.gz -C $$folder --strip-components=1 && \
	$(MAKE) -C $$folder from-source PYTHON='$(abspath $(BIN)/python)'; \
	status=$$?; rm -rf $$folder; exit $$status

# The fast tests that want no more than `quick` has, and some that import the benchmarks.
from-source: $(VENV)/.installed-quick
	$(PYTEST) tests/unit/test_bench_faults.py tests/unit/test_codec.py tests/unit/test_future.py \
		tests/unit/test_jobs.py tests/unit/test_scheduler.py tests/unit/test_wire.py $(ARGS)

bench: $(VENV)/.installed-bench ## measure against other pools: make bench ARGS="..."
	@# Workers import from the source tree, which pip does not compile.
	$(BIN)/python -m compileall -q src/onecopy
	$(BIN)/python -m bench $(ARGS)

bench-programs: $(VENV)/.installed-bench ## real programs by the standard pools and by ours (ARGS=--short: a minute)
	$(BIN)/python -m compileall -q src/onecopy
	$(BIN)/python -m bench.programs $(ARGS)

bench-published: $(VENV)/.installed-bench ## benchmarks that others have published, with their peers
	$(BIN)/python -m compileall -q src/onecopy
	$(BIN)/python -m bench.published $(ARGS)

bench-ray: $(VENV)/.installed-ray $(VENV)/.installed-bench ## a pool on a Ray cluster, beside Ray's own tasks and pool (needs root)
	$(BIN)/python -m compileall -q src/onecopy
	$(BIN)/python -m bench.on_ray $(ARGS)

bench-faults: $(VENV)/.installed-bench ## what pools survive: a table of faults and pools
	$(BIN)/python -m compileall -q src/onecopy
	$(BIN)/python -m bench.faults $(ARGS)

format: $(VENV)/.installed-dev ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove environments, caches and measurements
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf build dist htmlcov site .coverage .coverage.*
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
