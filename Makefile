# make demo     load ddpm-mnist from this checkout, draw 64 digits, say what each step took
# make test     everything that has to hold
# make lint     ruff, the type check and the import contracts
# make docs     the documentation site in site/, offline, warnings as errors
# make test-hub-versions     the Hub round trip with other versions of the official client (VERSIONS="1.33.0 2.4.0")
# make test-full             every fault as often as the table of docs/reliability.md says, which it writes; the marker slow
PYTHON ?= python3
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)

.PHONY: demo test docs test-hub-versions test-full lint check clean
demo: .venv/core
	$(BIN)/python scripts/demo.py

# A process a core, one thread each; what one of them compiles, the others and the next run take.
test: .venv/docs
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto

VERSIONS ?= 1.33.0
test-hub-versions: .venv/test
	OMP_NUM_THREADS=1 bash tests/hub/versions.sh $(VERSIONS)

test-full: .venv/test
	OMP_NUM_THREADS=1 ZOO_FULL=1 $(BIN)/python -m pytest tests/faults tests/hub tests/scale
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m slow

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/cards.py --check

docs: .venv/docs
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.docs

check: lint test

# Every package that is fetched is held to its sha256; ours is built by what was fetched so.
FETCH := $(BIN)/pip install --quiet --require-hashes --no-deps -r

.venv/core: pyproject.toml requirements/core.txt
	$(PYTHON) -m venv .venv
	$(FETCH) requirements/core.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

.venv/docs: .venv/test requirements/docs.txt
	$(FETCH) requirements/docs.txt
	touch $@

.venv/test: .venv/core requirements/test.txt
	$(FETCH) requirements/test.txt
	touch $@

clean:
	rm -rf .venv runs build dist site docs/generated *.egg-info
