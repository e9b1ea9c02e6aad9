# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
ARGS ?=

WEB := figures/explorer/web

.PHONY: env run test torture lint lint-web bench

env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[llm,vision,dev]'
	touch $@

run: env
	$(BIN)/reawaken compare --out $(OUT) $(ARGS)

# One process for each core and one thread in each: threads that wait for one another would share the cores.
test: env
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile $(ARGS)

# Minutes of kills, flipped bits, full disks and nonsense (docs/reliability.md); `make test` has a short one.
torture: env
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture $(ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory lint-web; \
	else echo "The explorer's JavaScript was not linted: npm is not installed."; fi

# Biome, one program at the version that package-lock.json pins, formats and lints the explorer's modules.
lint-web: $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm run --silent lint

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	cd $(WEB) && npm ci --silent --no-audit --no-fund

bench: env
	$(BIN)/pytest $(if $(filter benchmarks%,$(ARGS)),,benchmarks) $(ARGS)
