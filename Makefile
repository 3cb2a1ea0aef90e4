# make demo     load ddpm-mnist from this checkout, draw 64 digits, say what each step took
# make test     everything that has to hold
# make lint     ruff and the type check
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint check clean
demo: .venv/core
	$(BIN)/python scripts/demo.py

test: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto  # a process a core, one thread each

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/cards.py --check

check: lint test

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

.venv/test: .venv/core
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test,dev,demo]'
	touch $@

clean:
	rm -rf .venv runs build dist *.egg-info
