# make demo    edit the demo clip and write out/demo/{edited.mp4,edited.json,report.html}
# make test    every test that needs nothing but this repository
# make test-cluster    the tests beside real servers: Prometheus, …; says what to install where one is missing
# make lint    ruff, pyright, buf; with CONTRACT=<commit or tag> the protos must keep that contract, not HEAD's
# make protos  regenerate seamline/v1 from protos/
#
# A machine needs Python 3.11, gcc, node with npm (for buf only) and make. Everything else is installed here.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
SERVICES := aligner inverter stitcher metrics editor
BUF := node_modules/.bin/buf
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q
DEMO := out/demo
CONTRACT := HEAD

.PHONY: demo test test-cluster lint protos install
.DELETE_ON_ERROR:

demo: $(STAMPS)/install
	mkdir -p $(DEMO)
	$(BIN)/seamline edit assets/presenter.mp4 --edit smile=+2 -o $(DEMO)/edited.mp4 --report $(DEMO)/report.html

test: $(STAMPS)/dev
	$(BIN)/python -m pytest

test-cluster: $(STAMPS)/dev
	$(BIN)/python -m pytest -m cluster

lint: $(STAMPS)/dev $(BUF)
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BUF) lint
	$(BUF) breaking --against '.git#ref=$(CONTRACT),subdir=protos'

protos: $(STAMPS)/dev
	$(BIN)/python protos/generate.py

install: $(STAMPS)/install

# torch comes first and alone: which build of it fits is the machine's choice, not the resolver's.
$(STAMPS)/torch: | $(BIN)/python
	mkdir -p $(STAMPS)
	$(PIP) torch==2.13.0
	touch $@

$(STAMPS)/install: pyproject.toml constraints.txt $(wildcard services/*/pyproject.toml) $(STAMPS)/torch
	$(PIP) -c constraints.txt -e '.[text]'
	for service in $(SERVICES); do $(PIP) --no-deps -e services/$$service || exit 1; done
	touch $@

$(STAMPS)/dev: $(STAMPS)/install
	$(PIP) -c constraints.txt -e '.[dev,dlib,fit,onnx,otel,text,training]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BUF): package.json
	npm install --no-audit --no-fund --silent
	touch $@
