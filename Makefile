# What a fresh machine needs is Python 3.11 or newer, make and the package registry.
#   make serve [ARGS=…]   run the server          make test        lint, types and tests
#   make bench            measure                 make test-full   the slow tests, too
#   make test-unit        the fast unit tests, in two processes
#   make lint             lint and types only     make docs        tables in docs/ from the code
#   make serve-etcd       two servers over three members of etcd

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: serve serve-etcd test test-unit test-full bench lint docs clean

serve: $(STAMP)
	$(BIN)/kapi serve $(ARGS)

serve-etcd: $(STAMP)
	$(BIN)/python scripts/serve_etcd.py $(ARGS)

test: lint
	$(BIN)/pytest -m "not slow" $(ARGS)

# Two halves of about the same length, side by side.
test-unit: $(STAMP)
	@$(BIN)/pytest -q -m "not slow" -p no:cacheprovider tests/unit/[a-l]* & other=$$!; \
	$(BIN)/pytest -q -m "not slow" -p no:cacheprovider tests/unit/[m-z]*; mine=$$?; \
	wait $$other && exit $$mine

test-full: lint
	$(BIN)/pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(STAMP)
	$(BIN)/python scripts/docs.py

$(STAMP): pyproject.toml scripts/install
	scripts/install $(VENV)
	touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
