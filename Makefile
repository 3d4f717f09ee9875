# Set-up is done once and again only when pyproject.toml or constraints.txt change.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -c constraints.txt
# What pip does now, in one line that moves.
MOVING := | awk '{ printf "\r%-79.79s", $$0; fflush() } END { print "" }'
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# Tests and runs use the environment below whatever is activated.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help run report workflow-report repro-check lock-check metrics-check test test-engines test-cluster lint format docs bench bench-gpu fuzz
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

.venv/run.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Setting up .venv, once: about 2 GB to bring, some minutes"
	@$(PIP) -e ".[workflow]" $(MOVING)
	touch $@

.venv/dev.installed: .venv/run.installed
	@$(PIP) -e ".[workflow,dev]" $(MOVING)
	touch $@

.venv/docs.installed: .venv/run.installed
	@$(PIP) -e ".[workflow,docs]" $(MOVING)
	touch $@

.venv/slurm.installed: .venv/dev.installed
	@$(PIP) -e ".[workflow,dev,slurm]" $(MOVING)
	touch $@

.venv/bench.installed: .venv/dev.installed
	@$(PIP) -e ".[workflow,dev,bench]" $(MOVING)
	# aniposelib brings an OpenCV with windows, which needs more of the system: put the one without over it.
	@$(PIP) --force-reinstall --no-deps opencv-python-headless $(MOVING)
	touch $@

run: .venv/run.installed ## Set up and run the workflow on the embedded demo (simulated); about 4 minutes after set-up
	snakemake --cores all

report: run ## results/report.html: all data sets and runs side by side; each has a page, results/<dataset>/main/report.html
	trilift report

workflow-report: run ## results/workflow.html: Snakemake's own report, with these pages, the rules and what each stage made
	snakemake --report results/workflow.html

repro-check: .venv/run.installed ## Make what git has committed again, in a fresh clone, and compare it with dvc.lock
	python workflow/repro_check.py

lock-check: .venv/run.installed ## Whether dvc.lock in git fits the code and settings here; runs nothing
	python workflow/lock_check.py

metrics-check: run ## Make the demo here, and compare its metrics with those that git has
	python workflow/lock_check.py --metrics

test: .venv/dev.installed ## Set up and run the tests; SEED=3: in another order, and with other random numbers
	python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not engines" $(if $(SEED),--seed $(SEED))

test-engines: .venv/dev.installed ## The tests of Snakemake and DVC together that take long
	python -m pytest -n 2 --dist worksteal -m engines tests/workflow

test-cluster: .venv/slurm.installed ## The tests on a Slurm of this machine's own, where Debian's packages of it are installed
	python -m pytest tests/workflow/test_slurm.py

lint: .venv/dev.installed ## Check style and types
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow

format: .venv/dev.installed ## Put the code into the project's style
	ruff check --fix --quiet .
	ruff format .
	snakefmt Snakefile workflow

docs: .venv/docs.installed ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

bench: .venv/bench.installed ## Measure: make bench NAME=training (or triangulation, streaming, resume, ingest, detect, evaluation, predict, steady, startup, robustness, people, calibrate, scale, threads, kills)
	python tests/benchmarks/$(NAME).py

bench-gpu: .venv/dev.installed ## All that has to be seen on a GPU, where there is one, in less than 8 minutes
	python tests/benchmarks/gpu.py

fuzz: .venv/dev.installed ## Feed all readers with 20,000 mutated files
	python tests/formats/fuzzing.py --inputs 20000
