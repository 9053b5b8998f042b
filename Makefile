# Everything a newcomer needs: `make demo`, `make test` and `make docs` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# MLflow cannot start from a path with a percent sign. In such a clone .venv is a link to an environment elsewhere.
ELSEWHERE := $(if $(findstring %,$(CURDIR)),$(HOME)/.cache/agegender-bench/venv-$(firstword $(shell pwd | cksum)))

.PHONY: demo test docs clean

# Rebuilt when what it is made from changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python %d.%d is not supported: run make PYTHON=python3.12 (3.11 to 3.13)" % v)'
	@test -z '$(ELSEWHERE)' || { mkdir -p '$(ELSEWHERE)' && ln -sfn '$(ELSEWHERE)' $(VENV); }
	@test -x $(BIN)/python || $(PYTHON) -m venv '$(or $(ELSEWHERE),$(VENV))'
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/agegender prepare data=generated
	$(BIN)/agegender train -m experiment=demo
	$(BIN)/agegender report experiment=demo
	@echo
	@echo "Tables and figures: reports/demo/   Runs: $(BIN)/mlflow ui --backend-store-uri sqlite:///runs/mlflow.db"

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

# Every warning is an error: a link that leads nowhere, a name that is not in the code.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'The site: site/index.html, or with its search $(BIN)/mkdocs serve'

clean:
	rm -rf '$(ELSEWHERE)' $(VENV) data runs reports site
