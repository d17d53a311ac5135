# From a fresh clone to a running bench with python3, git and make. `make` alone lists the targets.

PYTHON ?= python3
LAB_OPTIONS ?=
BENCH_OPTIONS ?=

BIN = .venv/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
CHECKED = workbench widgets tests notebooks
# The layout of the notebooks' cells is for the author to choose.
FORMATTED = workbench widgets tests notebooks/conftest.py

# Progress bars cannot be compared, so notebooks and tests run without.
QUIET = TQDM_DISABLE=1 HF_HUB_DISABLE_PROGRESS_BARS=1

# Tests and notebooks run side by side, since neither keeps all cores busy all the time.
HALF_THE_CORES = $$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 ))

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUNBUFFERED = 1
# A caller's own paths would let other packages in.
unexport PYTHONPATH PYTHONHOME

# Two targets asked for at once must not install into the same folder at once.
.NOTPARALLEL:
.DEFAULT_GOAL = help
.PHONY: help demo test check browser lab notebooks bench clean

# $(call timed,what,command): says how long it took, and keeps the command's exit status.
define timed
@echo "== $(1)"; begin=$$(date +%s); { $(2); }; code=$$?; \
	echo "   took $$(( $$(date +%s) - begin )) s"; exit $$code
endef

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1: /p' Makefile

demo: .venv/.demo-installed ## from the default model to a verified manifest, in demo-run/
	@$(BIN)/workbench demo

test: .venv/.test-installed check browser ## everything a change must pass: check, tests, notebooks
	$(call timed,fetch the default model unless it is there,$(BIN)/workbench fetch)
	@echo "== tests in a browser, alone: what is on a page is looked at while it changes"
	@HF_HUB_OFFLINE=1 $(QUIET) $(BIN)/python -m pytest tests/browser
	@echo "== other tests, and beside them the notebooks: run again and compared with what they show"
	@export HF_HUB_OFFLINE=1 $(QUIET) OMP_NUM_THREADS=$(HALF_THE_CORES); log=$$(mktemp); \
	PLOTLY_RENDERER=plotly_mimetype $(BIN)/python -m pytest --nbval --nbval-current-env \
		--nbval-cell-timeout=600 notebooks >$$log 2>&1 & notebooks=$$!; \
	trap 'kill $$notebooks 2>/dev/null; rm -f $$log' EXIT; trap 'exit 130' INT TERM; \
	$(BIN)/python -m pytest tests --ignore tests/browser; tests=$$?; \
	wait $$notebooks; code=$$?; echo "== notebooks"; cat $$log; test $$tests = 0 && exit $$code

check: .venv/.test-installed ## ruff and mypy
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

lab: .venv/.lab-installed ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab $(LAB_OPTIONS) notebooks/01_find_the_heads.ipynb

# For the author. The timestamps go, because they would change every cell at every run; the
# version of Python stays, because the stored outputs hold for that version only.
define STRIP_TIMES
import sys
import nbformat
for path in sys.argv[1:]:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)
endef
export STRIP_TIMES

notebooks: .venv/.dev-installed browser ## run the notebooks and store what they show
	$(call timed,fetch the default model unless it is there,$(BIN)/workbench fetch)
	@HF_HUB_OFFLINE=1 $(QUIET) PLOTLY_RENDERER=plotly_mimetype+png $(BIN)/jupyter nbconvert \
		--to notebook --execute --inplace --ExecutePreprocessor.timeout=600 \
		--ExecutePreprocessor.store_widget_state=False notebooks/*.ipynb
	@$(BIN)/python -c "$$STRIP_TIMES" notebooks/*.ipynb

bench: .venv/.test-installed ## measure against other ways; BENCH_OPTIONS='--quick' to try it out
	$(call timed,fetch the default model unless it is there,$(BIN)/workbench fetch)
	@cd tests && HF_HUB_OFFLINE=1 $(QUIET) ../$(BIN)/python -m benchmarks $(BENCH_OPTIONS)

clean: ## remove the environment, the demo's output and every cache
	rm -rf .venv .bench demo-run build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find workbench widgets tests notebooks \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# Each stamp is newer than what it was installed from, so a second run installs nothing. A larger
# install satisfies the smaller ones.
.venv/.demo-installed: pyproject.toml constraints.txt | .venv/.created
	$(call timed,installing the bench (about two minutes) ...,$(PIP_INSTALL) .)
	@touch $@

# Notebook 5 reads its public tasks out of lm-eval; notebook 10 scores with Ray.
.venv/.lab-installed: pyproject.toml constraints.txt | .venv/.created
	$(call timed,installing the bench, public tasks and Ray (about two minutes) ...,$(PIP_INSTALL) '.[eval,ray,scale]')
	@touch .venv/.demo-installed $@

.venv/.test-installed: pyproject.toml constraints.txt | .venv/.created
	$(call timed,installing the bench and its tests (about two minutes) ...,$(PIP_INSTALL) '.[test]')
	@touch .venv/.demo-installed .venv/.lab-installed $@

.venv/.dev-installed: pyproject.toml constraints.txt | .venv/.created
	$(call timed,installing the author's tools too (about two minutes) ...,$(PIP_INSTALL) '.[dev]')
	@touch .venv/.demo-installed .venv/.lab-installed .venv/.test-installed $@

# The stamp, not the folder, says that it is complete: Debian without python3-venv leaves half.
.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is not that:" \
			"$$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another, for example: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@
