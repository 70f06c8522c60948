# vireid: two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

STUDIES := signs methods methods-whole methods-long sepg-table fdnm-table occlusion dselacfp-parts deen-parts

.DEFAULT_GOAL := help
.PHONY: test-long help setup demo test activity studies lint format docs wheel bench clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */  make \1\t/' | expand -t 16

setup: $(STAMP)  ## install into .venv

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: $(STAMP)  ## prepare, train, evaluate, draw and export on the rendered benchmark (minutes on 2 cores)
	$(BIN)/vireid prepare synthetic
	$(BIN)/vireid prepare sysu --size 96x48
	$(BIN)/vireid train --recipe quickstart.yaml
	$(BIN)/vireid evaluate
	$(BIN)/vireid visualize phase-swap
	$(BIN)/vireid visualize curves
	$(BIN)/vireid visualize tsne
	$(BIN)/vireid visualize ranking
	$(BIN)/vireid visualize report
	$(BIN)/vireid export onnx
	$(BIN)/vireid results

test: $(STAMP)  ## run the suite in two processes
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not long"

test-long: $(STAMP)  ## tests of every export and of real searches of hyperparameters (two minutes)
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -n 2 --dist loadfile -m long

activity: $(STAMP)  ## test that each term and switch of every recipe acts in trainings of 30 steps (ten minutes)
	VIREID_ACTIVITY_STEPS=30 $(BIN)/python -m pytest -q tests/methods/test_activity.py

studies: $(STAMP)  ## run the studies of docs/comparison.md into studies/, at gap 1 and 0.5 (days on 2 cores)
	set -e; for gap in 1 0.5; do \
	  export VIREID_DATA=studies/gap-$$gap VIREID_RUNS=studies/gap-$$gap/runs; \
	  $(BIN)/vireid prepare synthetic --more-test-ids 524 --gap $$gap; \
	  $(BIN)/vireid prepare occluded --from sysu; \
	  for study in $(STUDIES); do $(BIN)/vireid compare $$study --markdown > studies/gap-$$gap/$$study.md; done; \
	done

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## build the site into site/; a warning is an error
	$(BIN)/python tools/recipe_reference.py
	$(BIN)/zensical build --clean --strict

wheel:  ## build the wheel into dist/
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

bench: $(STAMP)  ## measure speed on this machine
	$(BIN)/vireid bench train
	$(BIN)/vireid bench extract
	$(BIN)/vireid bench augment
	$(BIN)/vireid bench evaluate

clean:  ## remove caches and build output; data, runs and .venv stay
	rm -rf build dist site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -exec rm -rf {} +
