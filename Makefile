# make serve and make test need nothing done before them: they create .venv first, serve with what serving needs alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVING := $(VENV)/.serving
STAMP := $(VENV)/.installed
DIR ?= ../shared/oracles
SHARED ?= ../shared
COCO ?=
# Where to take torch from. cpu, the default where there is no NVIDIA driver: a wheel in pip's find-links, else PyTorch's CPU
# builds, whose index uv knows; the address of an index: that one; empty (make install TORCH_INDEX=): the usual index, whose
# build for Linux brings CUDA along, some 3 GB.
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi),,cpu)
CPU_TORCH = $(BIN)/pip install --quiet --constraint constraints.txt --no-deps --no-index torch 2>/dev/null || \
  { $(BIN)/pip install --constraint constraints.txt uv && $(BIN)/uv pip install --python $(BIN)/python \
    --constraint constraints.txt --no-deps --torch-backend cpu torch; }

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help install serve test check check-clients check-exchange check-ray docs data format bench bench-audit bench-audit-jobs bench-serve bench-gpu reliability golden parity clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(SERVING): pyproject.toml constraints.txt
	@echo "installing what serving needs into $(VENV), about 0.5 GB to download with a CPU build of torch"
	@$(PYTHON) -m venv $(VENV)
	@$(if $(filter cpu,$(TORCH_INDEX)),$(CPU_TORCH),$(BIN)/pip install --constraint constraints.txt \
	  $(if $(TORCH_INDEX),--no-deps --retries 1 --timeout 15 --index-url $(TORCH_INDEX)) torch) || \
	  { echo "expected torch from TORCH_INDEX=$(TORCH_INDEX), got none: name an index by its address, or none (the usual)" >&2; exit 1; }
	@$(BIN)/pip install --constraint constraints.txt --editable .
	@touch $(SERVING)

$(STAMP): $(SERVING)
	@echo "installing what training, tests and documents need into $(VENV)"
	@$(BIN)/pip install --constraint constraints.txt --editable '.[dev,docs]'
	@touch $(STAMP)

install: $(STAMP) ## create .venv with everything in it

serve: $(SERVING) ## start the service on http://127.0.0.1:8000
	@exec $(BIN)/yoloscope serve

test: $(STAMP) ## run the tests, a file to a process
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

check: $(STAMP) ## formatting, lint, types, import directions, spelling
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	@if command -v tsc >/dev/null; then tsc -p jsconfig.json; else echo "the types of the page's JavaScript were not checked: no tsc (npm install -g typescript)"; fi

check-exchange: $(STAMP) ## have label-studio-sdk and cvat-sdk judge what goes to them, from an environment of their own
	@$(PYTHON) -m venv .venv-exchange
	@.venv-exchange/bin/pip install --quiet label-studio-sdk cvat-sdk
	$(BIN)/python -m tests.helpers.with_packages .venv-exchange tests/training/diagnostics/exchange \
	  tests/app/integrations tests/app/routers/test_label_studio.py

check-clients: $(STAMP) ## have the clients of KServe and Triton call the service, from an environment of their own
	@$(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/pip install --quiet kserve
	$(BIN)/python -m tests.helpers.with_packages .venv-clients tests/app/routers/test_inference_protocol_kserve.py \
	  tests/app/routers/test_inference_protocol.py

check-ray: $(STAMP) ## serve on Ray from an environment of its own: tests, then a raylet killed under load and in an audit
	@$(PYTHON) -m venv .venv-ray
	@.venv-ray/bin/pip install --quiet --constraint constraints.txt 'ray[serve]'
	PYTHONPATH="$$(echo $(CURDIR)/.venv-ray/lib/python3*/site-packages)" $(BIN)/python -m pytest -W default tests/app/test_ray_serve.py
	PYTHONPATH="$$(echo $(CURDIR)/.venv-ray/lib/python3*/site-packages)" $(BIN)/python -m tests.benchmarks.serve.ray_cluster
	PYTHONPATH="$$(echo $(CURDIR)/.venv-ray/lib/python3*/site-packages)" $(BIN)/python -m tests.benchmarks.audit.on_ray

docs: $(STAMP) ## build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

data: $(STAMP) ## fetch BCCD into data/bccd: 364 images of blood cells with VOC labels (MIT license)
	@$(BIN)/python -m tests.benchmarks.bccd data/bccd $(if $(BCCD_URL),--url $(BCCD_URL))

format: $(STAMP) ## rewrite the sources as make check wants them
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

bench: $(STAMP) ## measure speed; prints tables with the machine and the date
	$(BIN)/python -m tests.benchmarks

bench-audit: $(STAMP) ## audits against real and injected label errors (COCO=yolov4-tiny.onnx: also on coco128)
	$(BIN)/python -m tests.benchmarks.audit --shared $(SHARED) $(if $(COCO),--coco $(COCO))

bench-audit-jobs: $(STAMP) ## 5,000 pictures killed at random, replicas on PostgreSQL, detection beside a job
	$(BIN)/python -m tests.benchmarks.audit.jobs latency --data $(SHARED)/data/bccd
	$(BIN)/python -m tests.benchmarks.audit.jobs replicas --data $(SHARED)/data/bccd
	$(BIN)/python -m tests.benchmarks.audit.jobs zip --data $(SHARED)/data/bccd

bench-serve: $(STAMP) ## the service beside FastAPI, LitServe, Mosec, BentoML, Ray Serve, in an environment of their own
	@$(PYTHON) -m venv .venv-peers
	@grep -iE '^(numpy|onnxruntime-gpu|pillow|pydantic)==' constraints.txt > .venv-peers/constraints.txt
	@.venv-peers/bin/pip install --quiet --constraint .venv-peers/constraints.txt \
	  --requirement tests/benchmarks/serve/peers/requirements.txt onnxruntime-gpu numpy pillow pydantic
	@.venv-peers/bin/pip install --quiet --no-deps --editable .
	$(BIN)/python -m tests.benchmarks.serve --shared $(SHARED)

CHECK ?=
reliability: $(STAMP) ## overload, slow clients, kills, swaps, full disks, hostile images, fuzzing, an hour of load (CHECK=swap: one)
	$(BIN)/python -m tests.reliability $(CHECK)

bench-gpu: $(STAMP) ## the tests and the speed of an artifact on CUDA
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m tests.benchmarks.gpu

parity: $(STAMP) ## compare with darknet: make parity DIR=../shared/oracles
	$(BIN)/python -m tests.parity.run $(DIR)

golden: $(STAMP) ## compare losses with darknet: make golden DIR=../shared/oracles/loss
	$(BIN)/python -m tests.parity.golden $(if $(filter command%,$(origin DIR)),$(DIR),$(DIR)/loss)

clean: ## remove .venv and caches
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
