# Everything a fresh machine needs for `make run` and `make test` is installed below .venv/ and var/.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

PYTEST := $(BIN)/python -m pytest -q
SHARED := -n 3 --dist worksteal

.PHONY: run smoke fast test check lock env clean

run: .venv/run.ok
	@$(BIN)/python -m local.run

smoke: .venv/run.ok
	@$(BIN)/python -m local.run --smoke

# What needs nothing but Python, in under a minute.
fast: .venv/test.ok
	USERDB=sqlite $(PYTEST) $(SHARED) -m "not mysql and not processes and not gate and not chain"

# Everything. USERDB=sqlite leaves MariaDB out; ARGS='-m chain' and the like run what pytest is told to.
# The chain mostly waits, so that it is shared out too; the gates measure what many at once do and have the machine alone.
test: .venv/test.ok $(if $(filter sqlite,$(USERDB)),,.venv/mysql.ok)
	@$(BIN)/python -m local.programs >/dev/null
ifdef ARGS
	$(PYTEST) $(ARGS)
else
	$(PYTEST) $(SHARED) -m "not gate and not chain"
	$(PYTEST) $(SHARED) -m chain
	$(PYTEST) -m gate
endif

check: .venv/test.ok
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	DJANGO_SECRET_KEY=of-the-type-check-only $(BIN)/mypy
	$(BIN)/lint-imports

# Lock files are made anew, with hashes, from pyproject.toml; those of the images take what the tests have been run with.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "make lock" pyproject.toml
lock: .venv/test.ok
	$(BIN)/pip install --quiet uv
	$(LOCK) --extra gateway --extra bridge --extra local -o requirements/run.txt
	$(LOCK) --extra gateway --extra bridge --extra local --extra apprise --group dev -o requirements/test.txt
	$(LOCK) -c requirements/test.txt -c requirements/mysql.txt --extra bridge --extra mysql --extra apprise -o requirements/admin.txt
	$(LOCK) -c requirements/test.txt -c requirements/mysql.txt --extra gateway --extra mysql -o requirements/gateway.txt
	$(LOCK) -c requirements/test.txt -o requirements/client.txt
	$(LOCK) -c requirements/test.txt --extra sample -o requirements/sample.txt

# Secrets and settings of docker-compose.yml, made once.
env: .venv/run.ok
	@$(BIN)/python -m local.compose

clean:
	@printf 'Remove var/ with its database, messages and secrets? [y/N] '; read answer; \
	  if [ "$$answer" = y ]; then rm -rf var; echo removed; else echo kept; fi

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "install venv: apt-get install python3-venv"; rm -rf .venv; exit 1; }

.venv/run.ok: .venv/bin/python pyproject.toml requirements/run.txt
	@echo "installing the chain's packages into .venv"
	@$(BIN)/pip install --quiet --require-hashes -r requirements/run.txt
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

.venv/test.ok: .venv/run.ok requirements/test.txt
	@echo "installing what the tests need into .venv"
	@$(BIN)/pip install --quiet --require-hashes -r requirements/test.txt
	@touch $@

.venv/mysql.ok: .venv/run.ok requirements/mysql.txt
	@$(BIN)/python -m local.mysql
	@touch $@
