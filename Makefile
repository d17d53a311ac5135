# From a fresh clone to a running workbench with python3, git and make. `make` alone lists the
# targets.

PYTHON ?= python3
LAB_OPTIONS ?=
BENCH_OPTIONS ?=

BIN = .venv/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
CHECKED = workbench widgets tests notebooks
# The layout of the notebooks' cells is for the author to choose.
FORMATTED = workbench widgets tests notebooks/conftest.py

# Progress bars cannot be compared, so notebooks and tests run without, and so is what load_model says
# on some processors only. Models come from the cache.
QUIET = HF_HUB_OFFLINE=1 TQDM_DISABLE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 \
	PYTHONWARNINGS='ignore:this CPU has AMX'
CORES = $$(getconf _NPROCESSORS_ONLN)
# Each run says at its end where its time went.
PYTEST = $(QUIET) $(BIN)/python -m pytest --durations=12
# One process a core, each with one thread. Tests go to whichever process is free; the cells of a
# notebook stay together in one, and so do the slow tests of a file that share a browser
# (`notebooks/conftest.py` and `tests/browser/conftest.py` group them).
EACH_CORE = --numprocesses $(CORES)
SIDE_BY_SIDE = $(EACH_CORE) --dist worksteal
IN_GROUPS = $(EACH_CORE) --dist loadgroup
NBVAL = OMP_NUM_THREADS=1 PLOTLY_RENDERER=plotly_mimetype $(PYTEST) $(IN_GROUPS) \
	--no-loadscope-reorder --nbval --nbval-current-env --nbval-cell-timeout=600
# Those that take longest come first, so that no process waits long for another at the end. Notebook
# 8 goes on with the scores of notebook 7, in the same process.
SHORT_NOTEBOOKS = $(foreach number,04 03 01 02,$(wildcard notebooks/$(number)_*.ipynb))
LONGEST = $(foreach number,07 08 14 06 11 13 12,$(wildcard notebooks/$(number)_*.ipynb))
START = $(wildcard notebooks/00_*.ipynb) # holds no code
LONG_NOTEBOOKS = $(LONGEST) $(filter-out $(START) $(SHORT_NOTEBOOKS) $(LONGEST),$(wildcard notebooks/*.ipynb))

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUNBUFFERED = 1
# A caller's own paths would let other packages in, and without bytecode each of the many processes
# of the tests would compile everything anew.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

# Two targets asked for at once must not install into the same folder at once.
.NOTPARALLEL:
.DEFAULT_GOAL = help
.PHONY: help demo lab test test-slow check fetch browser notebooks docs bench clean

# $(call timed,what,command): says how long it took, and keeps the command's exit status. A comma
# ends an argument, so none may stand in it: what holds commas is given as a variable.
define timed
@echo "== $(1)"; begin=$$(date +%s); { $(2); }; code=$$?; \
	echo "   took $$(( $$(date +%s) - begin )) s"; exit $$code
endef

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile

demo: .venv/.demo-installed ## from the default model to a verified manifest, in demo-run/
	@$(BIN)/workbench demo

# JupyterLab asks on its first screen whether it may fetch news; here the answer is no.
LAB_SETTINGS = .venv/share/jupyter/lab/settings
NO_NEWS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}

lab: .venv/.lab-installed ## open the notebooks in JupyterLab
	@mkdir -p $(LAB_SETTINGS)
	@echo '$(NO_NEWS)' >$(LAB_SETTINGS)/overrides.json
	$(BIN)/jupyter lab $(LAB_OPTIONS) notebooks/00_start_here.ipynb

test: .venv/.test-installed browser fetch ## what a change must pass, besides `make check`: 12 minutes on 2 cores
	@echo "== tests"
	@OMP_NUM_THREADS=1 $(PYTEST) -m "not slow" $(SIDE_BY_SIDE) tests
	@echo "== notebooks: run again and compared with what they show"
	@$(NBVAL) $(SHORT_NOTEBOOKS)

test-slow: .venv/.test-installed browser fetch ## the rest: more models, faults, Ray, long notebooks
	@echo "== slow tests"
	@OMP_NUM_THREADS=1 $(PYTEST) -m slow $(IN_GROUPS) tests
	@echo "== long notebooks: run again and compared with what they show"
	@$(NBVAL) $(LONG_NOTEBOOKS)

fetch: .venv/.demo-installed ## fetch the default model into the user's cache unless it is there
	$(call timed,fetch the default model unless it is there,$(BIN)/workbench fetch)

check: .venv/.test-installed ## ruff and mypy: a minute
	$(call timed,ruff check,$(BIN)/ruff check $(CHECKED))
	$(call timed,ruff format,$(BIN)/ruff format --check $(FORMATTED))
	$(call timed,mypy,$(BIN)/mypy)

# The widget tests and the figures that notebooks carry need a browser, from Debian's packages.
FIND_BROWSER = { command -v chromium || command -v chromium-browser || command -v google-chrome || command -v chrome; }
AS_ROOT = $$(test "$$(id -u)" = 0 || echo 'sudo -n')

browser: ## see to it that there is a Chromium, installed by apt if need be and allowed
	@$(FIND_BROWSER) >/dev/null || { echo "== no Chromium found: installing it with apt-get ..."; \
		{ $(AS_ROOT) apt-get update -qq && \
			$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1; \
		$(FIND_BROWSER) >/dev/null || { echo "The tests of the widgets need a browser and could not" \
			"install one. Install Chromium, for example: sudo apt-get install chromium" >&2; exit 1; }; }

# For the author. The version of Python stays in the notebooks: what they show holds for that one.
notebooks: .venv/.dev-installed browser fetch ## run the notebooks and store what they show
	@$(QUIET) PLOTLY_RENDERER=plotly_mimetype+png $(BIN)/jupyter nbconvert \
		--to notebook --execute --inplace --ExecutePreprocessor.timeout=600 \
		--ExecutePreprocessor.store_widget_state=False notebooks/*.ipynb
	@$(BIN)/python tests/notebook_form.py notebooks/*.ipynb

docs: .venv/.test-installed ## the API reference, from the docstrings, into build/docs/
	@rm -rf build/docs
	$(call timed,write the API reference,$(BIN)/python tests/documentation build/docs)

# A device is measured with random weights: no model is fetched for it.
bench: .venv/.test-installed $(if $(findstring --device,$(BENCH_OPTIONS)),,fetch) ## measure against other ways; BENCH_OPTIONS='--quick' to try it out, '--device cuda' for a GPU
	@cd tests && $(QUIET) ../$(BIN)/python -m benchmarks $(BENCH_OPTIONS)

clean: ## remove the environment, the demo's output and every cache
	rm -rf .venv .bench demo-run build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find workbench widgets tests notebooks \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# Each stamp is newer than what it was installed from, so a second run installs nothing. A larger
# install satisfies the smaller ones. Notebook 6 reads its public tasks out of lm-eval, notebook 12
# scores with Ray.
DEMO = .
LAB = .[eval,ray,scale]
TEST = .[test]
DEV = .[dev]
INSTALL = $(call timed,installing '$(1)' (about two minutes) ...,$(PIP_INSTALL) '$(1)')

.venv/.demo-installed: pyproject.toml constraints.txt | .venv/.created
	$(call INSTALL,$(DEMO))
	@touch $@

.venv/.lab-installed: pyproject.toml constraints.txt | .venv/.created
	$(call INSTALL,$(LAB))
	@touch .venv/.demo-installed $@

.venv/.test-installed: pyproject.toml constraints.txt | .venv/.created
	$(call INSTALL,$(TEST))
	@touch .venv/.demo-installed .venv/.lab-installed $@

.venv/.dev-installed: pyproject.toml constraints.txt | .venv/.created
	$(call INSTALL,$(DEV))
	@touch .venv/.demo-installed .venv/.lab-installed .venv/.test-installed $@

# The stamp, not the folder, says that it is complete: Debian without python3-venv leaves half.
.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is not that:" \
			"$$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another, for example: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@
