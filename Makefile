# `make` alone says what there is.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
TASK ?= counting
DATA ?=
NAME ?=
PYTEST_ARGS ?=
TORCH_INDEX ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
TORCH := $(shell grep '^torch==' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench bench-profile verify-learning verify-tasks verify-last-turn verify-evaluation verify-overlap verify-exactness verify-faults verify-step-time verify-device verify-algorithms verify-mutation verify-environments verify-sandboxes verify-chaos verify-search verify-compose images experiment lint format clean

help:
	@echo 'make setup    install everything into $(VENV); quick when nothing changed'
	@echo 'make demo     a whole run: environments, training, evaluation, a page to look at; ARGS="..." is passed on'
	@echo '              TASK=counting, geometry, grounding, search or coding'
	@echo 'make test     lint, then every test; PYTEST_ARGS="-m '"'not slow'"'" leaves out the slow ones'
	@echo 'make bench    every figure of speed, beside TRL, into bench/README.md; an hour and a half; ARGS="--quick" shows that it runs'
	@echo 'make bench-profile    where the time of one step goes, into bench/profile.md; a minute'
	@echo 'make verify-learning    the demo of TASK over three seeds with its controls, into bench/learning/; about 40 minutes'
	@echo 'make verify-tasks    that for all five tasks, and their table in the README; about three hours'
	@echo 'make verify-last-turn    search and coding, trained on the last turn alone, into bench/last_turn.md; about an hour'
	@echo 'make verify-evaluation    the five checkpoints of make demo on their tasks, a break, faults and a real chat server,'
	@echo '              into bench/evaluation.md; about ten minutes; ARGS="--parts tasks" for the table alone'
	@echo 'make verify-overlap    tools and generation side by side, into bench/overlap.md; a few minutes'
	@echo 'make verify-exactness    1,000 random episodes, and planted faults, into bench/exactness.md; about ten minutes'
	@echo 'make verify-faults    runs in which a fifth of the tool calls fail, into bench/faults.md; about ten minutes'
	@echo 'make verify-step-time    where the time of a step goes, into bench/step_time.md; a minute'
	@echo 'make verify-device    every weight of a 4B model trained under 24 GiB, into bench/device_4b.md; needs a GPU, ten minutes;'
	@echo '              ARGS="--shape small" shows on a CPU that it runs'
	@echo 'make verify-algorithms    six algorithms over three seeds, into bench/algorithms.md; about 40 minutes'
	@echo 'make verify-mutation    mutants of agent/objective, into bench/mutation.md; about an hour'
	@echo 'make verify-environments    speed, and 10,000 fuzzed texts each, into bench/environments.md; about half an hour'
	@echo 'make verify-sandboxes    speed of hardened containers, into bench/sandboxes.md; needs Docker; about ten minutes'
	@echo 'make verify-chaos    killed trainers, containers and engines, into bench/chaos.md; needs Docker; about 15 minutes'
	@echo 'make images   build the images of compose.yaml, with labels of version and commit'
	@echo 'make verify-compose    the whole of compose.yaml, undisturbed and with dying executors, into bench/compose.md; half an hour'
	@echo 'make verify-search    speed and quality of the index over DATA, a folder of passages, into bench/search.md'
	@echo 'make experiment NAME=...    an experiment of the paper on a tiny model, into bench/experiments/; minutes each:'
	@echo '              NAME=sanity, grpo-vs-rloo, vllm-vs-hf (needs the environment of .ci/vllm), custom-estimator, batch-sweep'
	@echo 'make lint     ruff, mypy and the rules of who may import whom'
	@echo 'make format   let ruff write the format'
	@echo 'make clean    delete caches and built packages; keeps $(VENV) and runs'
	@echo
	@echo 'PYTHON=python3.12    the Python to make $(VENV) with (3.11 or newer)'
	@echo 'TORCH_INDEX=https://download.pytorch.org/whl/cpu    take PyTorch from there: smaller, without CUDA'

setup: $(STAMP)
	@echo 'set up in $(VENV)'

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo '$(PYTHON) is not there: install Python 3.11 or newer, or name one: make setup PYTHON=python3.12' >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is `$(PYTHON) -V 2>&1`;" \
			'name a newer one: make setup PYTHON=python3.12' >&2; \
		exit 1; }
	@clear=; if [ -f $(VENV)/pyvenv.cfg ]; then clear=--clear; fi; \
	$(PYTHON) -m venv $$clear $(VENV) || { \
		rm -f $(BIN)/python*; \
		echo '$(PYTHON) could not make $(VENV): on Debian and Ubuntu, install python3-venv first' >&2; \
		exit 1; }

$(STAMP): $(BIN)/python pyproject.toml constraints.txt
	@set -e; \
	start=`date +%s`; \
	if [ -n '$(TORCH_INDEX)' ]; then \
		$(BIN)/python -m pip install --no-deps --index-url '$(TORCH_INDEX)' '$(TORCH)'; \
	fi; \
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev,geometry,search,sandbox,openenv,remote]'; \
	touch $(STAMP); \
	echo "set-up took $$((`date +%s` - start)) s"

demo: $(STAMP)
	$(BIN)/python -m agent train $(TASK) --run.name $(if $(filter counting,$(TASK)),demo,demo-$(TASK)) $(ARGS)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)
	RLLAVA_ENGINE=fsdp2 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS) tests/agent/test_train_algorithms.py

bench: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/run_all.py $(ARGS)

bench-profile: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/step_profile.py $(ARGS)

verify-learning: $(STAMP)
	$(BIN)/python bench/learning.py --task $(TASK) $(ARGS)

verify-tasks: $(STAMP)
	set -e; for task in counting geometry grounding search coding; do \
		$(BIN)/python bench/learning.py --task $$task $(ARGS); \
	done
	$(BIN)/python bench/tasks.py

verify-last-turn: $(STAMP)
	$(BIN)/python bench/last_turn.py $(ARGS)

verify-evaluation: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/evaluation.py $(ARGS)

verify-overlap: $(STAMP)
	$(BIN)/python bench/overlap.py $(ARGS)

verify-exactness: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/exactness.py $(ARGS)

verify-faults: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/faults.py $(ARGS)

verify-step-time: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/step_time.py $(ARGS)

verify-device: $(STAMP)
	$(BIN)/python bench/device.py --shape 4b --cap 24GiB $(ARGS)

verify-algorithms: $(STAMP)
	$(BIN)/python bench/credit.py
	$(BIN)/python bench/algorithms.py $(ARGS)

verify-mutation: $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[mutation]'
	$(BIN)/python bench/mutation.py $(ARGS)

verify-environments: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/environments.py --fuzz 10000 $(ARGS)

verify-sandboxes: $(STAMP)
	$(BIN)/python bench/sandboxes.py $(ARGS)

verify-chaos: $(STAMP)
	$(BIN)/python bench/chaos.py $(ARGS)

images:
	VERSION=`sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml` COMMIT=`git rev-parse HEAD` docker compose build

verify-compose: $(STAMP)
	$(BIN)/python bench/compose.py $(ARGS)

verify-search: $(STAMP)
	$(BIN)/python bench/search.py --data '$(DATA)' $(ARGS)

experiment: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python bench/experiment.py $(NAME) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist ./*.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find envs sandbox agent tests -name __pycache__ -type d -prune -exec rm -rf {} +
