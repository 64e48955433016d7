# Lungprint's commands for people. `make` alone explains them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
# What tests need beside the product; a variable, because a comma would end an argument of $(call).
DEV := .[dev,postgresql,train]
BIN := $(VENV)/bin
# More options for pip, for example a package index of your own.
PIP_ARGS ?=
# Options for `lungprint demo` or for pytest.
ARGS ?=
# Real X-rays for the demo: a manifest.csv or a folder of JPEG, PNG or DICOM files.
DATA ?=

.PHONY: help demo test lint peers bench clean

help:
	@echo "make demo                  install into .venv, start a whole system and send it synthetic chest X-rays"
	@echo "make demo ARGS=--exit      the same, and end when the result is shown"
	@echo "make demo DATA=PATH        the same with real images: a manifest.csv or a folder of JPEG, PNG or DICOM files"
	@echo "make test                  install what tests need, then lint, type checks and all tests"
	@echo "make test ARGS='-k word'   the same with options for pytest"
	@echo "make lint                  format, lint, types and import contract"
	@echo "make bench                 run the benchmarks; results go to benchmarks/results"
	@echo "make clean                 remove .venv and the demo's scratch folder"
	@echo
	@echo "PYTHON=python3.12 uses another Python; PIP_ARGS=... is handed to pip."

demo: $(VENV)/.installed
	@$(BIN)/lungprint demo $(if $(DATA),--data "$(DATA)") $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.installed-dev peers lint
	$(BIN)/pytest $(ARGS)

peers:
	@bash .ci/peers

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.ingest $(ARGS)
	$(BIN)/python -m benchmarks.pipeline $(ARGS)
	$(BIN)/python -m benchmarks.gate $(ARGS)
	$(BIN)/python -m benchmarks.encode $(ARGS)
	$(BIN)/python -m benchmarks.index $(ARGS)
	$(BIN)/python -m benchmarks.matching

clean:
	rm -rf $(VENV) .demo

# A virtual environment without packages; made anew when the Python it came from has gone.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: Lungprint needs Python 3.11 or newer. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) cannot make a virtual environment. On Debian: apt-get install python3-venv python3-dev" >&2; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	$(call install,.)

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/pip
	$(call install,$(DEV))
	@touch $(VENV)/.installed

# Install $(1), one line of progress, everything said kept in a log; afterwards the packages must import together.
define install
@$(BIN)/python -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || { echo "The headers of Python are missing, which the package hnswlib needs. On Debian: apt-get install python3-dev" >&2; exit 1; }
@command -v c++ >/dev/null || { echo "There is no C++ compiler here, which the package hnswlib needs. On Debian: apt-get install g++" >&2; exit 1; }
@echo "Installing Lungprint into $(VENV): about 5 GB with PyTorch, some minutes. Log: $(VENV)/install.log"
@$(BIN)/pip install --disable-pip-version-check --no-input $(PIP_ARGS) -e '$(1)' 2>&1 | tee $(VENV)/install.log \
  | awk -v tty="$$(test -t 1 && echo 1 || echo 0)" \
    '/^Collecting /           {n++; line = n " packages found, now " $$2} \
     /^ *Building wheel/      {line = "building " $$4} \
     /^Installing collected/  {line = "unpacking " n " packages, the longest step"} \
     line != ""               {if (tty == 1) printf "\r\033[K  %s", line; else if (n % 20 == 1 || /^Inst/) print "  " line; fflush(); line = ""} \
     END                      {if (tty == 1) printf "\r\033[K"}' \
  || { tail -n 15 $(VENV)/install.log >&2; echo "The installation failed. Check the network, or the package index in your pip configuration, and run make again; it goes on where it stopped." >&2; exit 1; }
@$(BIN)/python -c 'import hnswlib, torch, torchvision.ops' 2>>$(VENV)/install.log \
  || { tail -n 3 $(VENV)/install.log >&2; echo "The packages are installed but do not work together, usually a torch that torchvision was not built for. Run: make clean, then again with PIP_ARGS='--no-cache-dir'." >&2; exit 1; }
@touch $@
endef
