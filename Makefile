# make          lists the targets
# make demo     installs, and does the whole job on drawn faces
# make test     installs, and passes every test
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
DEMO := --input_size 80 --epochs 3 --steps_per_epoch 70 --val_people 20 --val_pairs 1000

.PHONY: help install demo check test

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

install: $(INSTALLED) ## install what is needed into .venv

$(INSTALLED): requirements-use.txt requirements.txt requirements-extras.txt requirements-dev.txt
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
	rm -rf demo
	$(RUN) -m datasets.drawn_faces --output demo/people --people 100 --images 12 --size 96
	$(RUN) -m datasets.drawn_faces --output demo/strangers --people 40 --images 6 --size 96 --first_person 1000 \
	  --pairs_file demo/pairs.txt --pairs 600
	$(RUN) txt_annotation.py --datasets_path demo/people --annotation_path demo/cls_train.txt
	$(RUN) train.py --annotation_path demo/cls_train.txt --save_dir demo/logs $(DEMO)
	$(RUN) eval_lfw.py --model_path demo/logs/*/embedder_best.keras --save_dir demo/pictures \
	  --lfw_dir demo/strangers --lfw_pairs demo/pairs.txt --report demo/report.json
	$(RUN) predict.py demo/strangers/*_1000/*_0001.jpg demo/strangers/*_1000/*_0002.jpg \
	  --model_path demo/logs/*/embedder_best.keras --save_path demo/pictures/comparison.png --show no
	@echo
	@echo "Look at: demo/pictures/roc.png, errors.png, comparison.png; $$(echo demo/logs/*)/first_batch.png, curves.png"
