# make          lists the targets
# make demo     installs, and does the whole job on drawn faces
# make test     installs, and passes every test
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed

.PHONY: help install demo check test

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

install: $(INSTALLED) ## install what is needed into .venv

$(INSTALLED): requirements.txt requirements-dev.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $(INSTALLED)

check: $(INSTALLED) ## ruff, types, and the tests that need no TensorFlow (under a minute)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -q tests --ignore tests/network

test: check ## everything
	$(RUN) -m pytest -q tests/network

demo: $(INSTALLED) ## annotate, train, evaluate and compare on drawn faces (under 5 minutes)
	$(RUN) benchmarks/demo.py
