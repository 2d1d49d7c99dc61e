# make train   install into .venv, train on the embedded digits to the end (minutes)
# make test    install what tests need and run them
# make slow    the tests that compile for minutes
# make extras  install what a few tests skip without: the TPU's compiler, the peers of bench
# make lint    style, format, types and imports, of shell scripts too
# make soak    kill runs at random moments and compare the bits (some ten minutes)
# make gs-soak the same on a local Google Cloud Storage that fails at random (some eight minutes)
# make faults  let each access to a run's files fail in turn, and compare the bits
# make harness odd configs, environments, memory over 20,000 steps (the last takes long)
# make bench   measure beside PyTorch, JAX and Keras (on a quiet machine)
# make clean   remove what the other targets made; runs/ and data/ stay

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test slow extras lint soak gs-soak faults harness bench clean

train: $(VENV)/trainer.installed
	$(BIN)/python -m trainer.main --config=configs/digits.py --run_dir=runs/digits

test: $(VENV)/test.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: $(VENV)/test.installed
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal

extras: $(VENV)/extras.installed

lint: $(VENV)/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/shellcheck launch/*.sh
	$(BIN)/hadolint Dockerfile

soak: $(VENV)/test.installed
	$(BIN)/python -m tests.soak

gs-soak: $(VENV)/test.installed
	$(BIN)/python -m tests.gs_soak

faults: $(VENV)/test.installed
	$(BIN)/python -m tests.faults

harness: $(VENV)/test.installed
	$(BIN)/python -m tests.any_config
	$(BIN)/python -m tests.environments
	$(BIN)/python -m tests.memory

bench: $(VENV)/bench.installed
	$(BIN)/python -m bench.main

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); this needs Python 3.11 or newer:" \
			"make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/trainer.installed: setup.py | $(BIN)/python
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/test.installed: setup.py | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/trainer.installed

$(VENV)/extras.installed: setup.py $(VENV)/test.installed $(VENV)/bench.installed
	$(BIN)/pip install --quiet --editable '.[preflight]'
	touch $@

$(VENV)/bench.installed: bench/requirements.txt | $(VENV)/trainer.installed
	# Where the index has it, the build for CPUs: 0.2 GB in place of 3.
	$(BIN)/pip install --quiet 'torch==2.13.0+cpu' 2>/dev/null || true
	$(BIN)/pip install --quiet --requirement bench/requirements.txt
	touch $@
