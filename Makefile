# make setup         create the environment in .venv; all other targets start with it
# make ablation      run the quick study up to its table and figures
# make test          lint, types, and all tests that take seconds
# make check         the part of make test that takes less than a minute: no processes, no training
# make test-slow     the tests that take minutes: a study that is killed twenty times
# make kills         the part of make test-slow that kills: 20 times a study, 20 times a training; a quarter of an hour
# make test-oldest   the tests of make check with the oldest versions that pyproject.toml allows
# make audit         look up the pinned packages among known vulnerabilities
# make damage        every file of a run damaged in twelve ways, and a disk that is full at each write
# make fuzz          thousands of damaged files for every reader (ASID_FUZZ=1000 for each)
# make test-browser  the notebooks in Chromium, which it installs if possible
# make lab           JupyterLab with the notebooks, from their index (PORT=8888)
# make dashboard     the notebooks as web pages without code, from their index (PORT=8866)
# make results-report write again what README, docs and results take from committed records
# make gallery       draw the pictures of docs/gallery.md
# make hooks         let git clean and check what is committed
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e
# Jupyter serves as root, as in a container, only with this option.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help setup ablation test check test-slow kills damage test-oldest audit fuzz test-browser browser lint lab dashboard gallery results-report hooks constraints clean

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "expected Python 3.11 or newer, got $$($(PYTHON) --version); set PYTHON=/path/to/python"; exit 1; }
	@echo "setting up $(VENV): this takes a few minutes the first time and prints nothing"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) '.[dev]'
	@touch $@

# An extra of pyproject.toml, e.g. $(VENV)/with-browser
$(VENV)/with-%: $(VENV)/ready
	@$(INSTALL) '.[dev,$*]'
	@touch $@

ablation: setup
	@$(BIN)/asid ablate run ablations/quick.yaml
	@$(BIN)/asid report results/quick

test: lint
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

check: lint
	$(BIN)/pytest -n 2 -m 'not slow and not browser and not process'

kills: setup
	$(BIN)/pytest -m slow tests/ablation/engine/test_kill.py

damage: setup
	$(BIN)/pytest -m slow tests/runs/test_damage.py

test-slow: setup
	$(BIN)/pytest -m slow

test-oldest: $(OLDEST)/ready
	$(OLDEST)/bin/pytest -n 2 -m 'not slow and not browser and not process'

# uv finds the oldest versions, pip installs them: it knows which builds this machine has, such as torch for CPUs only.
$(OLDEST)/ready: pyproject.toml
	@echo "setting up $(OLDEST): this takes a few minutes and prints nothing"
	@$(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/pip install --quiet --disable-pip-version-check uv
	@$(OLDEST)/bin/uv pip compile --quiet --python $(OLDEST)/bin/python --resolution lowest-direct --extra dev \
		--output-file $(OLDEST)/oldest.txt pyproject.toml
	@$(OLDEST)/bin/pip install --quiet --disable-pip-version-check -c $(OLDEST)/oldest.txt -e '.[dev]'
	@touch $@

audit: $(VENV)/with-audit
	@$(BIN)/python .ci/audit

fuzz: setup
	ASID_FUZZ=$(or $(ASID_FUZZ),1000) $(BIN)/pytest -n 2 tests/test_fuzz.py

test-browser: browser
	$(BIN)/pytest -m browser tests/browser

browser: $(VENV)/with-browser
	@.ci/chromium

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# With the settings of .jupyter, besides the user's own, and for pages its template, which asks no other server. Voilà
# needs a manager of files that is not asynchronous; the kernel of a page that was closed ends after two minutes.
lab: setup
	JUPYTER_CONFIG_PATH=.jupyter $(BIN)/jupyter lab $(AS_ROOT) $(PORT:%=--port=%)

dashboard: $(VENV)/with-dashboard
	JUPYTER_CONFIG_PATH=.jupyter JUPYTER_PATH=.jupyter $(BIN)/jupyter server $(AS_ROOT) --port=$(or $(PORT),8866) \
		--ServerApp.root_dir=notebooks --ServerApp.default_url=/voila/render/00_index.ipynb \
		--VoilaConfiguration.template=offline --VoilaConfiguration.show_tracebacks=True \
		--VoilaConfiguration.progressive_rendering=True \
		--ServerApp.jpserver_extensions="{'voila.server_extension': True, 'jupyterlab': False}" \
		--ServerApp.contents_manager_class=jupyter_server.services.contents.largefilemanager.LargeFileManager \
		--MappingKernelManager.cull_idle_timeout=120 --MappingKernelManager.cull_interval=30

gallery: setup
	$(BIN)/python docs/gallery.py

results-report: setup
	$(BIN)/python docs/results_report.py

hooks: setup
	$(BIN)/pre-commit install

constraints: $(VENV)/with-browser $(VENV)/with-export
	@{ head -1 constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) $(OLDEST) .pytest_cache .ruff_cache .mypy_cache .hypothesis
