# The two commands of the README, and the ones that developers use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= 2

.PHONY: install test example bench lint docs clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "TMSPrep needs Python 3.11 or later; $(PYTHON) is older. Give another one: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Cannot make a virtual environment. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test: install
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadscope --no-loadscope-reorder

example: install
	$(BIN)/tmsprep bids_example example_output participant group --preproc builtin --circuit example --nprocs $(CORES)

bench: install
	@mkdir -p bench/results
	@missed=0; for script in bench/[a-z]*.py; do \
		echo "== $$script"; $(BIN)/python $$script --json bench/results/$$(basename $$script .py).json $(BENCH_FLAGS) || missed=1; \
	done; exit $$missed

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml workflow

docs:
	.ci/docs.sh

clean:
	rm -rf example_output .pytest_cache .ruff_cache .hypothesis
