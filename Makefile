# `make demo` and `make test` need python3.11 (or newer), pip and make, nothing else.
# torch comes through constraints.txt: without it an open range resolves to a CUDA build of several GB.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test test-hosts slow lint format clean

help:
	@echo "make demo        set up and run the main job on a dozen synthesised sounds"
	@echo "make test        set up and run the tests"
	@echo "make test-hosts  install the programs that the bridge works in, and try it in them; HOSTS=quick for the small ones"
	@echo "make slow        the proofs that take minutes (50 kills, ...)"
	@echo "make lint        ruff and mypy"

.venv/ready: pyproject.toml constraints.txt
	# Debian ships venv without its pip unless python3-venv is there; the system's own pip can fill the environment too.
	$(PYTHON) -m venv .venv >/dev/null 2>&1 || $(PYTHON) -m venv --without-pip .venv
	if $(BIN)/python -m pip --version >/dev/null 2>&1; \
	then $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'; \
	else $(PYTHON) -m pip --python $(BIN)/python install --quiet -c constraints.txt -e '.[dev]'; fi
	@touch $@

demo: .venv/ready
	$(BIN)/spresso demo

# One thread per process: on a busy machine two contending ones are several times slower.
test test-hosts slow: export OMP_NUM_THREADS = 1
test: .venv/ready
	# files on both cores; each test still finds its own ports, folders and databases
	$(BIN)/python -m pytest -n auto --dist loadfile

HOSTS ?= all
test-hosts: .venv/ready
	sh tests/hosts/install.sh $(HOSTS)
	$(BIN)/python -m pytest -m hosts tests/hosts -rs

slow: .venv/ready
	$(BIN)/python -m pytest -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis demo
