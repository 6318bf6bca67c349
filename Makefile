# Two commands matter: `make report` does the main job, `make test` proves it. Both set up what they need in .venv.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
INSTALL = $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help browser report test lint parity bench model clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of libraries, so that the second run installs nothing.
$(VENV)/lab.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[lab,fast,series,cluster]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[lab,fast,series,web,cluster,dev]'
	touch $@ $(VENV)/lab.stamp

$(VENV)/peers.stamp: $(VENV)/dev.stamp
	$(INSTALL) torch==2.13.0
	touch $@

report: $(VENV)/lab.stamp ## answer the exercise sheet: run every study, and write report/index.html
	$(BIN)/headwise report --out report

# The pages are tested in a real browser; where there is none and none can be had, those tests say so.
browser:
	@command -v chromedriver >/dev/null || $$(command -v sudo) apt-get install -y -q chromium chromium-driver \
		|| echo "no browser: the tests of the pages will be skipped"

test: $(VENV)/dev.stamp browser ## every test
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(VENV)/dev.stamp ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

parity: $(VENV)/peers.stamp ## the same as torch, number by number
	$(BIN)/python -m pytest -m parity tests/parity

bench: $(VENV)/peers.stamp ## side by side with torch
	$(BIN)/headwise bench
	$(BIN)/python benchmarks/vit_step.py --compiled

model: $(VENV)/dev.stamp ## the model that ships; DATA=folder with MNIST's four idx files
	$(BIN)/python benchmarks/ship.py $(DATA)

clean: ## all that was made here, but not what a user trained
	rm -rf $(VENV) report build .pytest_cache .mypy_cache .ruff_cache .hypothesis
