# What people and CI both call. `make demo` and `make test` set up everything they need themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
TEST_WORKERS ?= 2
BASE_URL ?= http://127.0.0.1:8000/v1
READY := $(VENV)/.installed
GPU_PACKAGES := annotated-types|diffusers|importlib-metadata|pydantic|pydantic-core|segment-anything|typing-extensions|typing-inspection|zipp
export RAY_USAGE_STATS_ENABLED := 0
export RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH := deployments.http.proxy:middleware

.DEFAULT_GOAL := help
.PHONY: help install demo serve conformance test test-unit test-fullsize test-faults test-cluster screenshots lint format check-config bench gpu-check gpu-wheels shapes quality sheet evaluate pocket pocket-gpu clean soak faults

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(READY)  ## the virtual environment, once

$(READY): pyproject.toml client/pyproject.toml constraints.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on \
		--constraint constraints.txt --editable ./client --editable '.[dev]'
	@touch $@

demo: $(READY)  ## one real edit, offline: outputs/demo/{original,sam_mask,edited}.png
	$(BIN)/python main.py --image docs/demo/scene.png --target "the cactus" --prompt "a lemon" \
		--seed 7 --output_dir outputs/demo

serve: $(READY)  ## the service and its page with the pocket models on http://127.0.0.1:8000, until Ctrl-C
	$(BIN)/python -m deployments.local

conformance: $(READY)  ## does the server at BASE_URL keep to OpenAI's contract of image edits? Ours: make serve
	$(BIN)/python -m benchmarks.conformance --base-url $(BASE_URL) $(CONFORMANCE)

test: $(READY)  ## all tests but the full-size ones, two workers side by side
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile

test-unit: $(READY)  ## the tests that start no Ray and load no model
	$(BIN)/python -m pytest tests/unit tests/http tests/client

test-fullsize: $(READY)  ## real formats at full size with random weights: minutes, about 8 GB of disk and memory
	$(BIN)/python -m pytest -m fullsize

test-faults: $(READY)  ## kills a replica at thirty moments of an edit: five minutes
	$(BIN)/python -m pytest -m faults

test-cluster: $(READY)  ## clusters of several nodes, and updates under load: root on Linux, minutes
	$(BIN)/python -m pytest -m cluster tests/cluster

faults: $(READY)  ## what the service survives, twenty minutes: kills under load, broken models; FAULTS=--selection: eight
	$(BIN)/python -m benchmarks.faults $(FAULTS)

screenshots: $(READY)  ## the states of the page on a desk and on a phone, light and dark: outputs/screenshots/
	$(BIN)/python -m tests.browser.screenshots

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check-config: $(READY)  ## refuses what Ray Serve would silently ignore in serve_config.yaml
	$(BIN)/python -m deployments.check_config serve_config.yaml

bench: $(VENV)/.bench  ## speed against named peers, an hour on a quiet machine: benchmarks/results/
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks $(BENCH)

$(VENV)/.bench: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[bench]' && touch $@ || echo "LitServe could not be installed: its rows will say so."

gpu-check:  ## what only a GPU can tell, on a machine with one and without Ray: minutes, outputs/gpu-check/
	$(GPU_PYTHON) -m benchmarks.gpu_check

gpu-wheels:  ## what a machine with a GPU, torch and transformers lacks for gpu-check, as wheels for Python 3.12: .whl/
	grep -E '^($(GPU_PACKAGES))==' constraints.txt | xargs $(PYTHON) -m pip download --quiet --no-deps --dest .whl \
		--only-binary=:all: --implementation cp --python-version 3.12 --platform manylinux_2_28_x86_64 \
		--platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64

soak: $(READY)  ## two thousand small edits, a tenth of the requests abusive: does the service stay what it was?
	$(BIN)/python -m benchmarks.soak $(SOAK)

shapes: $(READY)  ## what an edit costs by the shape of the picture, 1:1 to 1:256: a few minutes
	$(BIN)/python -m benchmarks.shapes --reported

quality: $(READY)  ## how good the edits are and what each switch brings, an hour: benchmarks/results/
	$(BIN)/python -m benchmarks.quality

sheet: $(READY)  ## 24 hard edits to look at: docs/quality/
	$(BIN)/python -m benchmarks.contact_sheet

evaluate: $(READY)  ## how good the pocket models are, on scenes they have never seen
	$(BIN)/python -m pocket.evaluate

pocket: $(READY)  ## trains the pocket models anew: hours on two cores
	$(BIN)/python -m pocket.train_clip
	$(BIN)/python -m pocket.train_sam
	$(BIN)/python -m pocket.train_vae
	$(BIN)/python -m pocket.train_unet

pocket-gpu:  ## trains the pocket painter anew on one GPU, in nine minutes: outputs/pocket-gpu/
	$(GPU_PYTHON) -m pocket.on_gpu

clean:
	rm -rf $(VENV) outputs
