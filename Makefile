# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
# A process a core; one that has nothing left takes tests from the end of another's. `-n 0` in PYTEST_ARGS: in one process.
SIDE_BY_SIDE := --numprocesses=logical --maxprocesses=4 --dist=worksteal

.PHONY: docs demo test wheel-test bounds-test lint bench fuzz soak stress coverage trajectories mutants validation samples clean

demo: $(STAMP)  ## install, score sample_slides/, say where the tables are
	$(BIN)/spatial-til demo --out demo_results

test: $(TEST_STAMP)  ## install, run all tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

wheel-test:  ## the built wheel, installed in a fresh environment, passes the tests from another folder
	$(PYTHON) .ci/clean_room.py wheel $(SIDE_BY_SIDE) $(PYTEST_ARGS)

bounds-test:  ## the same with the lowest versions that pyproject.toml allows, then with the newest there are
	$(PYTHON) .ci/clean_room.py lowest $(SIDE_BY_SIDE) $(PYTEST_ARGS)
	$(PYTHON) .ci/clean_room.py newest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

lint: $(TEST_STAMP)  ## ruff, mypy, import-linter
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(TEST_STAMP)  ## speed, as ratios in one run
	$(BIN)/python -m benchmarks

fuzz: $(TEST_STAMP)  ## 110,000 damaged files through every parser, with a fixed seed
	$(BIN)/python -m benchmarks.fuzz

soak: $(TEST_STAMP)  ## 500 small slides in one run: memory, open and temporary files as it goes on
	$(BIN)/python -m benchmarks.soak

stress: $(TEST_STAMP)  ## 100 runs killed at random moments and resumed
	$(BIN)/python -m benchmarks.stress

coverage: $(TEST_STAMP)  ## coverage of the intervals by simulation
	$(BIN)/python -m benchmarks.interval_coverage

trajectories: $(TEST_STAMP)  ## known-truth studies of the transition call
	$(BIN)/python -m benchmarks.trajectories

mutants: $(TEST_STAMP)  ## would the tests notice wrong geometry or metrics? 200 small changes
	$(BIN)/python -m benchmarks.mutants

validation: $(TEST_STAMP)  ## VALIDATION.md, from the code and the data present
	$(BIN)/python -m benchmarks.validation

docs: $(STAMP)  ## the API reference, into docs/api
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group docs
	$(BIN)/python docs/build_api.py docs/api

samples: $(STAMP)  ## make sample_slides/ again
	$(BIN)/python -m spatial_til.synthetic sample_slides

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(TEST_STAMP): pyproject.toml constraints.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group test --group lint
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group gui && .ci/screen \
	  || echo "napari cannot be installed here: the viewer's tests will be skipped"
	touch $@

clean:
	rm -rf $(VENV) demo_results
