# `make demo` and `make test` do all the set-up they need, in .venv, from the package registries.
PYTHON ?= python3
PY36 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.6.*/bin/python) $(shell command -v python3.6))
DATA ?= ../shared/data
CASES ?= 100000
LIMIT ?= 1800
WORKERS ?= $(shell nproc)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CONSTRAINTS := --constraint requirements/constraints.txt
MODELS := $(foreach name,espnet_camvid nanoflownet,models/$(name).onnx models/$(name).tensorrt.onnx)
# The tests of a file stay in one process, so that shared data is made once.
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile
# Otherwise files with few tests, which take longest, would run last, in one process only.
IN_ORDER := --no-loadscope-reorder
PY310 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python) $(shell command -v python3.10))

.PHONY: help demo models test docs soak lint types bindings gstreamer cv-bridge tensorrt tensorrt-8 test-py36 test-gpu gpu-bundle fuzz constraints clean

help:  ## Show this list
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/demo  ## Run the ROS 2 nodes on a street clip; images in out/demo
	$(BIN)/trt_perception_tools demo

models: $(MODELS)  ## Export the published networks (needs their weights in DATA, and PyTorch)

# Two processes: once, PyTorch's start of a worker crashed in the one that had loaded all the runtimes' libraries.
test: .venv/test .venv/tensorrt lint types bindings $(if $(wildcard $(DATA)),$(MODELS))  ## Lint, types and all tests; where Python 3.6 (the TX2's) is installed, also on that (WORKERS=)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(IN_ORDER)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(IN_ORDER) tools/test
	@$(MAKE) --no-print-directory test-py36

docs: .venv/docs  ## Build the documentation as a web site, with the API reference: out/docs/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Built: out/docs/index.html"

soak: .venv/demo  ## Run the node for 10 minutes under load with injected faults, and check it against config/budget.yaml
	$(BIN)/trt_perception_tools soak --seconds 600 --load 1

lint: .venv/test  ## Run ruff
	$(BIN)/ruff check .

types: .venv/test  ## Run mypy
	$(BIN)/mypy

bindings: .venv/test  ## Fetch the Python APIs of TensorRT and pycuda for test/conformance, without their libraries
	@$(BIN)/python test/conformance/install.py 8.6 10.0 10.16 11.4 pycuda

gstreamer: .venv/test  ## Test camera_node with real GStreamer, whose Python bindings from Debian are unpacked in .gstreamer
	$(BIN)/python test/sources/debian_gstreamer.py $(BIN)/python -m pytest test/sources test/ros/test_camera_node.py

cv-bridge: .venv/test  ## Compare our decoders with the real cv_bridge, which is from Debian, unpacked in .cv_bridge (450 MB)
	$(BIN)/python test/debian_cv_bridge.py unpack && $(BIN)/python -m pytest test/ros/test_real_cv_bridge.py

tensorrt: .venv/tensorrt  ## Build every network in FP32, FP16 and INT8 with NVIDIA's own parser and builder, without a GPU
	$(BIN)/python docs/measurements/tensorrt_builds.py

tensorrt-8: .venv/test  ## Test our use of TensorRT with the complete releases 8.5 and 8.6, on Python 3.6 and 3.10 (2 GB, slow)
	@$(if $(PY36),$(MAKE) --no-print-directory .venv36/done && .venv36/bin/python test/conformance/install.py whole-8.5,echo 'SKIPPED: no python3.6 here')
	@$(if $(PY310),$(PY310) test/conformance/install.py whole-8.5 whole-8.6,echo 'SKIPPED: no python3.10 here')
	$(BIN)/python -m pytest test/conformance/test_whole.py

test-py36:  ## Run the tests that need no ROS on Python 3.6
ifeq ($(PY36),)
	@echo 'SKIPPED: tests on Python 3.6: no python3.6 here (set PY36=/path/to/python3.6)'
else
	@$(MAKE) --no-print-directory .venv36/done
	@.venv36/bin/python test/conformance/install.py 8.6
	.venv36/bin/python -m pytest -p no:cacheprovider $(SIDE_BY_SIDE) test/core test/engines test/bench test/conformance test/test_architecture.py test/test_config.py test/test_consumer.py
endif

fuzz: .venv/test  ## Try 100,000 damaged inputs of every kind, for some minutes, at most half an hour (CASES=, LIMIT= in seconds)
	$(BIN)/python test/corpus/fuzz.py --cases $(CASES) --limit $(LIMIT)

test-gpu: .venv/test  ## Test and measure TensorRT, engines and kernels on this machine's NVIDIA GPU
ifeq ($(wildcard /dev/nvidia[0-9]* /dev/nvhost-gpu /dev/nvgpu /dev/dxg),)
	@echo 'SKIPPED: tests on a GPU: no NVIDIA GPU here'
else
	$(BIN)/python tools/gpu_bundle/networks.py out/gpu_networks
	@$(if $(PY310),$(MAKE) --no-print-directory .venv310/done && \
	  PATH="$(CURDIR)/tools/gpu_bundle:$(CURDIR)/.venv310/bin:$$PATH" sh tools/gpu_bundle/on_the_gpu.sh .venv310/bin/python out/gpu/8.5 all,echo 'SKIPPED: TensorRT 8.5: no python3.10 here')
	@if $(PIP) install --requirement requirements/gpu.txt tensorrt-cu12; then \
	  sh tools/gpu_bundle/on_the_gpu.sh $(BIN)/python out/gpu/newest all; \
	else echo 'SKIPPED: the newest TensorRT: cannot be installed here. It comes from pypi.nvidia.com; pycuda needs the CUDA toolkit'; fi
endif

gpu-bundle: .venv/test  ## Pack what test-gpu needs for a machine with only an NVIDIA driver: out/gpu_bundle
	$(BIN)/python tools/gpu_bundle/pack.py out/gpu_bundle --python $(PY310)

constraints: .venv/test  ## Renew requirements/constraints.txt from .venv
	@sed -n 1p requirements/constraints.txt > .venv/constraints
	$(BIN)/pip freeze --exclude-editable --exclude torch --exclude onnxruntime-ep-nv-tensorrt-rtx-cu12 \
	  --exclude tensorrt-cu12-bindings >> .venv/constraints
	mv .venv/constraints requirements/constraints.txt

clean:  ## Remove the output of all targets
	rm -rf .venv .venv36 .venv310 .bindings .gstreamer .cv_bridge out build install log *.egg-info tools/*.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip<27'

.venv/demo: requirements/demo.txt requirements/constraints.txt setup.py tools/pyproject.toml | .venv/bin/python
	@echo 'Setting up .venv: ROS 2, ONNX Runtime, OpenCV (about 200 MB)'
	$(PIP) install --requirement requirements/demo.txt $(CONSTRAINTS)
	$(PIP) install --no-deps --no-build-isolation --editable . --editable tools
	@touch $@

.venv/test: requirements/test.txt .venv/demo
	@echo 'Setting up .venv: PyTorch, test and build tools'
	$(PIP) install --requirement requirements/test.txt $(CONSTRAINTS)
	@touch $@

.venv/docs: requirements/docs.txt requirements/constraints.txt | .venv/bin/python
	@echo 'Setting up .venv: MkDocs'
	$(PIP) install --requirement requirements/docs.txt $(CONSTRAINTS)
	@touch $@

# Tests whose requirements are unavailable are skipped, and say so.
.venv/tensorrt: requirements/tensorrt/rtx.txt .venv/test
	@echo 'Setting up .venv: TensorRT for RTX (170 MB)'
	@$(PIP) install --no-deps --requirement $< && touch $@ || echo 'SKIPPED: TensorRT for RTX is unavailable'

# TensorRT 8.5, which has the TX2's bindings API and the named tensors.
.venv310/done: requirements/gpu_bundle.txt tools/gpu_bundle/pycuda_wheel.py
	$(PY310) -m venv .venv310
	.venv310/bin/python -m pip --quiet install --requirement requirements/gpu_bundle.txt \
	  'nvidia-cublas-cu11<12' 'nvidia-cudnn-cu11<9' 'nvidia-cuda-runtime-cu11'
	.venv310/bin/python -m pip --quiet install --no-deps "$$($(PY310) tools/gpu_bundle/pycuda_wheel.py $(PY310) out/pycuda310)"
	@touch $@

.venv36/done: requirements/py36.txt
	$(PY36) -m venv .venv36
	.venv36/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=21,<22'
	.venv36/bin/python -m pip --quiet install --requirement requirements/py36.txt
	@touch $@

models/espnet_camvid.%: WEIGHTS = $(DATA)/weights_espnet/espnet_p_2_q_8_camvid.npz
models/nanoflownet.%: WEIGHTS = $(DATA)/weights_nanoflownet/nanoflownet.npz
$(MODELS): | .venv/demo
	@test -f $(WEIGHTS) || { printf '%s\n' \
	  'No $(WEIGHTS): the published weights of $@ are missing.' \
	  'They are not part of this repository. Put them there, or run: make $(MAKECMDGOALS) DATA=/path/to/data' >&2; exit 1; }
	@$(MAKE) --no-print-directory .venv/test
	$(BIN)/trt_perception_tools export $(firstword $(subst ., ,$(@F))) --weights $(WEIGHTS) --output $@ \
	  $(if $(findstring .tensorrt.,$@),--for tensorrt)
