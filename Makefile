# Every target works from a bare clone: what it needs is made first, and only if it is missing.
PYTHON ?= python3
BIN := .venv/bin
# One test process for each core: tests wait for devices and processes more than they compute.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
READY := .venv/ready

.PHONY: setup run test test-fast test-full check bench clean

setup: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

run: $(READY)
	$(BIN)/authz serve --dev

# OPA is found on PATH, built with Go, or said to be missing: then what needs it skips and says so.
test: $(READY)
	-$(BIN)/python tools/provision.py opa
	$(PYTEST)

test-fast: $(READY)
	$(PYTEST) -m 'not slow and not e2e'

test-full: $(READY)
	$(BIN)/python tools/provision.py opa
	AUTHZ_TEST_ROLES=10000 AUTHZ_TEST_KILLS=500 AUTHZ_TEST_EXAMPLES=3000 AUTHZ_TEST_PATHS=10000 AUTHZ_TEST_REQUESTS=200 AUTHZ_TEST_SECONDS=300 AUTHZ_TEST_MUTATIONS=200 AUTHZ_TEST_STREAMS=1000 AUTHZ_TEST_INSERTS=10000 AUTHZ_TEST_HOSTILE_REQUESTS=100000 REQUIRE_ALL=1 $(PYTEST)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_policies.py
	$(BIN)/python tools/generate.py --check

bench: $(READY)
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv .tools .state build dist *.egg-info
