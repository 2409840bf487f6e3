# make demo    edit the demo clip and write out/demo/{edited.mp4,edited.json,report.html}
# make test    every test that needs nothing but this repository, in WORKERS= processes
# make test-cluster    the tests with programs from elsewhere: Prometheus, kubectl, go, …; says what to install where one is missing
# make lint    ruff, pyright, buf; with CONTRACT=<commit or tag> the protos must keep that contract, not HEAD's
# make lint-deploy     build every overlay of deploy/k8s, validate it against Kubernetes' schemas, scan it; needs kubectl
# make images  the services' images, with docker or buildah (ENGINE=); DEVICE=cuda for GPUs, REGISTRY=host/path/ to push to
# make images-check    build one image without an engine and start its service; needs root, buildah and debootstrap
# make protos  regenerate seamline/v1 and docs/api.md from protos/
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
WORKERS := 2

# Images: TAG names one build for good; the digest of the base is in deploy/images/Dockerfile.
ENGINE ?= $(shell command -v docker || command -v buildah || echo docker)
REGISTRY ?=
DEVICE ?= cpu
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
TAG ?= $(VERSION)$(if $(filter cuda,$(DEVICE)),-cuda)
TORCH_INDEX ?= $(if $(filter cuda,$(DEVICE)),https://pypi.org/simple,https://download.pytorch.org/whl/cpu)
SERVICE ?= aligner
DEPLOY := $(VENV)/deploy

.PHONY: demo test test-cluster lint lint-deploy images images-check protos install
.DELETE_ON_ERROR:

demo: $(STAMPS)/install
	mkdir -p $(DEMO)
	$(BIN)/seamline edit assets/presenter.mp4 --edit smile=+2 -o $(DEMO)/edited.mp4 --report $(DEMO)/report.html

# One thread a worker: where several have as many threads as there are cores, they wait for each other.
test: $(STAMPS)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

test-cluster: $(STAMPS)/dev $(STAMPS)/triton $(BUF)
	$(BIN)/python -m pytest -m cluster

lint: $(STAMPS)/dev $(BUF)
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BUF) lint
	$(BUF) breaking --against '.git#ref=$(CONTRACT),subdir=protos'

lint-deploy: $(DEPLOY)/installed
	$(DEPLOY)/bin/python deploy/k8s/lint.py

$(DEPLOY)/installed: deploy/k8s/requirements.txt
	$(PYTHON) -m venv $(DEPLOY)
	$(DEPLOY)/bin/python -m pip --disable-pip-version-check install -q -r $<
	touch $@

# One after another: the second finds the layers of the first.
images:
	for service in $(SERVICES); do \
	    $(ENGINE) build -f deploy/images/Dockerfile --target $$service -t $(REGISTRY)seamline-$$service:$(TAG) \
	        --build-arg TORCH_INDEX=$(TORCH_INDEX) --build-arg VERSION=$(VERSION) \
	        --build-arg REVISION=$$(git rev-parse HEAD) . || exit 1; \
	done

# SERVICE=inverter for another one. Where pip is given packages of one's own, a CPU build of torch is taken to be there.
images-check: TORCH_INDEX = $(if $(PIP_FIND_LINKS),https://pypi.org/simple,https://download.pytorch.org/whl/cpu)
images-check:
	$(PYTHON) deploy/images/check.py $(SERVICE) --build-arg TORCH_INDEX=$(TORCH_INDEX)

protos: $(STAMPS)/dev
	$(BIN)/python protos/generate.py
	$(BIN)/python protos/reference.py

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
	$(PIP) -c constraints.txt -e '.[dev,dlib,fit,onnx,otel,text,training,triton]'
	touch $@

# A whole Triton for tests, of which only the server is used: what its Python package needs is left out.
$(STAMPS)/triton: | $(STAMPS)/torch
	$(PIP) --no-deps --upgrade --target $(VENV)/triton nvidia-pytriton==0.7.0
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BUF): package.json
	npm install --no-audit --no-fund --silent
	touch $@
