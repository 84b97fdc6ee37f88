# One command each; PYTHON is the interpreter of the environment that `pip install -e ".[dev]"` went into.
PYTHON ?= python

.PHONY: check fix test test-all ctest build

check:  ## lint and types; changes nothing
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

fix:  ## what the linter can mend by itself
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:  ## the default tests, a few minutes
	$(PYTHON) -m pytest

test-all:  ## the slow ones too, as CI runs them
	$(PYTHON) -m pytest -m "slow or not slow"

ctest:  ## the C layer alone: plain, ASan + UBSan, TSan
	$(PYTHON) -m pytest tests/test_csrc.py

build:  ## sdist and wheel
	$(PYTHON) -m build
