# `make demo` and `make test` need python3.11 (or newer), pip and make, nothing else.
# torch comes through constraints.txt: without it an open range resolves to a CUDA build of several GB.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test test-hosts slow evaluate lint format clean

help:
	@echo "make demo        set up and run the main job on a dozen synthesised sounds"
	@echo "make test        set up and run the tests"
	@echo "make test-hosts  install the programs that the bridge works in, and try it in them; HOSTS=quick for the small ones"
	@echo "make slow        the proofs that take minutes (50 kills, ...)"
	@echo "make evaluate    S-PRESSO beside other codecs: the figures of docs/results.md; SOUNDS=FOLDER, takes an hour or two"
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

# What docs/results.md says of other codecs. The sounds have a manifest.csv (path, split): rivals and nearest-clip know
# those of 'train', all are measured on those of 'val'. What is stopped goes on where it was; OUT keeps the report.
# LYRA and YAMNET are other people's files, and may be left out. LIMIT=100 measures so many sounds, always the same ones.
LIMIT ?=
SOUNDS ?= ../shared/corpus
OUT ?= evaluation
LYRA ?= $(wildcard ../shared/models/lyra)
YAMNET ?= $(wildcard ../shared/models/yamnet.tflite)
COMMA := ,
SYSTEMS := spresso,opus,mp3,vorbis,flac,$(if $(LYRA),lyra$(COMMA))soundstream,encodec-ours,spectrogram,nearest-clip

.venv/rivals: .venv/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,rivals]'
	@touch $@

evaluate: export OMP_NUM_THREADS = 1
evaluate: .venv/rivals
	$(BIN)/spresso evaluate "$(SOUNDS)" --split val $(if $(LIMIT),--limit $(LIMIT)) --systems $(SYSTEMS),encodec-untrained,dac-untrained \
	  --library "$(SOUNDS)" $(if $(LYRA),--weights "lyra=$(LYRA)") \
	  --embedder hand-made $(if $(YAMNET),--embedder "yamnet=$(YAMNET)") \
	  --threads 1 --timed 6 --out "$(OUT)" --docs docs/results.md

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis demo
