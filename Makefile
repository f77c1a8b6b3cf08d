# Two commands do all the set-up: `make demo` and `make test`. Everything else is for those who develop.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := deploy/requirements/dev.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test killpoints sim mutations fuzz chaos bench screenshots docs lint format lock lab matrix images arm64 sbom licences clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   the main job on the embedded default, in a minute (KEEP=1 leaves it running)"
	@echo "make test   every tier that this machine can have; names those that it cannot, and what they lack"
	@echo "make killpoints  die at every write, command and message of every path; prints the points"
	@echo "make sim    10000 simulated histories of the whole system, one for each seed (HISTORIES=10000 SEED=1)"
	@echo "make fuzz   broken input at every entrance (EXAMPLES=1000 of each); prints how many of what"
	@echo "make mutations  take each guard out of a copy; a test must fail each time"
	@echo "make chaos  50 bad days on real parts, most of an hour; prints a line each"
	@echo "make bench  what carina-tasks costs beside the bare work, side by side in one run, 4 minutes; prints a table"
	@echo "make lab    install what the tests on real parts need (Debian, root)"
	@echo "make docs   the documentation as a site, in build/site; a broken link fails"
	@echo "make matrix  contract and system tests beside each supported version that this machine has; writes build/matrix.json"
	@echo "make images  runtime, node and demo image (PLATFORMS=linux/amd64,linux/arm64, TWICE=1: both builds must be the same)"
	@echo "make arm64  is there a file for arm64 of every package that the images pin?"
	@echo "make sbom   a bill of materials of each image, CycloneDX, in build/sbom"
	@echo "make lint   ruff, mypy, the layers, tables of contents and docstring sections"

# The virtual environment is made again when the lock file changes.
$(VENV)/ready: $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is missing: install python3 and python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@echo "installing what the lock file $(LOCK) names into $(VENV) …"
	@$(BIN)/pip install -q --require-hashes -r $(LOCK)
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/ready
	@$(BIN)/python -m carina_tasks.demo $(if $(KEEP),--keep) $(DEMO_ARGS)

# Two tests at a time: most of them wait. PROCESSES=0 runs one, as a debugger or `-s` needs it.
PROCESSES ?= 2
test: $(VENV)/ready
	@$(BIN)/python -m tests.lab.parts
	@$(BIN)/python -m pytest -p tests.two_at_a_time -n $(PROCESSES) --dist loadscope $(PYTEST_ARGS)

killpoints: $(VENV)/ready
	@$(BIN)/python -m tests.killpoints

sim: $(VENV)/ready
	@$(BIN)/python -m tests.sim --histories $(or $(HISTORIES),10000) --seed $(or $(SEED),1)

EXAMPLES ?= 1000
fuzz: $(VENV)/ready
	@FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q -s tests/unit/test_fuzz.py

mutations: $(VENV)/ready
	@$(BIN)/python -m tests.mutations

chaos: $(VENV)/ready
	@$(BIN)/python -m tests.chaos $(PYTEST_ARGS)

docs: $(VENV)/ready
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

bench: $(VENV)/ready
	@$(BIN)/python -m tests.bench

# Chromium at work: the pictures of docs/flower.md. A Prometheus at work: that of docs/monitoring.md.
screenshots: $(VENV)/ready
	@$(BIN)/python -m tests.browser.screenshots
	@$(BIN)/python -m tests.integration.dashboard_picture

lint: $(VENV)/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.conventions

format: $(VENV)/ready
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lab:
	@bash tests/lab/install.sh

# `bash tests/matrix/install.sh` gets the versions; ONLY="Valkey 8" is one row, the others stay as they were.
matrix: $(VENV)/ready
	@$(BIN)/python -m tests.matrix $(if $(ONLY),--only "$(ONLY)")

images:
	@bash deploy/images.sh $(TARGETS)

# pip takes only files whose sums the lock files have; it fails at the first package that has none for that processor.
arm64: $(VENV)/ready
	@for lock in node flower demo; do rm -rf build/arm64; \
	  $(BIN)/pip download -q -d build/arm64 --no-deps --require-hashes --only-binary :all: \
	    --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
	    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none -r deploy/requirements/$$lock.txt || exit 1; \
	  echo "arm64: $$lock.txt: $$(ls build/arm64 | wc -l) packages, $$(ls build/arm64 | grep -c aarch64) of them compiled, all there"; done

sbom: $(VENV)/ready
	@$(BIN)/python -m tools.sbom build/sbom

licences: $(VENV)/ready
	@$(BIN)/python -m tools.reference.licences_page > docs/licences.md

# The lock files name no index, so that any mirror serves them. Each holds the versions of the one before.
lock: $(VENV)/ready
	@$(BIN)/pip install -q uv
	@cd deploy/requirements && for set in "runtime" "node -c runtime.txt" "flower --extra flower -c runtime.txt" "demo --extra demo -c flower.txt" "dev --extra demo --extra dev -c demo.txt"; do \
	  set -- $$set; name=$$1; shift; \
	  source=../../pyproject.toml; [ ! -e $$name.in ] || source=$$name.in; \
	  env -u PIP_FIND_LINKS ../../$(BIN)/uv pip compile -q $$source "$$@" --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o $$name.txt || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
