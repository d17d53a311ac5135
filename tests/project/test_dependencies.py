"""What the packages import is declared, and is imported only when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from project.test_project import ROOT, canonicalize_name, direct, everything, imports

import workbench as wb

HEAVY = ["torch", "transformers", "plotly", "sklearn", "scipy.stats", "duckdb"]
# Standing in a worker that scores, beside the torch and transformers that it scores with.
DRAWING = ["plotly", "sklearn", "matplotlib", "IPython", "ipywidgets"]

# Scripts that a test or a benchmark runs in an environment of their own, beside what they compare.
ELSEWHERE = ["peer_nnsight.py", "peer_transformer_lens.py", "read_blends.py"]


def sources() -> list[Path]:
    return sorted(
        path for name in ("workbench", "widgets") for path in ROOT.glob(f"{name}/**/*.py")
    )


def test_every_package_that_is_imported_is_declared():
    distributions = metadata.packages_distributions()
    declared = everything().keys()
    undeclared = {}
    for path in sources():
        for module in {name.split(".")[0] for name in imports(path)} - {"workbench", "widgets"}:
            if module and module not in sys.stdlib_module_names:
                names = {canonicalize_name(name) for name in distributions.get(module, [module])}
                if not names & declared:
                    undeclared.setdefault(module, set()).add(path.name)
    assert undeclared == {}


def test_every_package_that_a_test_imports_comes_with_the_tests():
    """`make test` installs the extra `test` and no more, so no test may ask for what `dev` adds."""
    distributions = metadata.packages_distributions()
    installed = everything().keys() - (direct("dev").keys() - direct("test").keys())
    own = {path.stem for path in (ROOT / "tests").iterdir()} | {"workbench", "widgets"}
    missing: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").glob("**/*.py")):
        if path.name in ELSEWHERE:
            continue
        for module in {name.split(".")[0] for name in imports(path)} - own:
            if module and module not in sys.stdlib_module_names:
                names = {canonicalize_name(name) for name in distributions.get(module, [module])}
                if not names & installed:
                    missing.setdefault(module, set()).add(str(path.relative_to(ROOT)))
    assert missing == {}


def test_what_is_imported_with_a_module_is_no_extra():
    """An extra may be missing, so only functions import it, where they can say how to get it."""
    extras = everything().keys() - direct().keys()
    distributions = metadata.packages_distributions()
    eager = set()
    for path in sources():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for module in (name.split(".")[0] for name in names):
                found = {canonicalize_name(name) for name in distributions.get(module, [])}
                if found and found <= extras:
                    eager.add((path.name, module))
    assert eager == set()


def loaded(statement: str, modules: list[str]) -> set[str]:
    """Those of the modules that a fresh Python has loaded after the statement."""
    code = f"{statement}\nimport sys\nprint(*({modules!r} & sys.modules.keys()), sep='\\n')"
    code = code.replace(repr(modules), repr(set(modules)))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split("\n")) & set(modules)


@pytest.mark.parametrize("module", ["workbench", "workbench.cli.main"])
def test_a_first_look_loads_nothing_heavy(module):
    assert loaded(f"import {module}", HEAVY) == set()
    assert loaded(f"import {module}, torch", HEAVY) >= {"torch"}  # the test can see it


def test_help_loads_nothing_heavy():
    help_page = "from workbench.cli.main import app\ntry: app(['--help'])\nexcept SystemExit: pass"
    assert loaded(help_page, HEAVY) == set()


@pytest.mark.slow
def test_a_worker_loads_nothing_that_draws():
    assert (
        loaded("import workbench.scoring.drivers.local_process, workbench.scoring.worker", DRAWING)
        == set()
    )


@pytest.mark.slow
def test_all_names_are_there_and_no_module_hides_one():
    """In a fresh Python, after every module of the package was imported in its own right."""
    code = (
        "import importlib, pkgutil, types, workbench as wb\n"
        "for found in pkgutil.walk_packages(wb.__path__, 'workbench.'):\n"
        "    importlib.import_module(found.name)\n"
        "modules = {n for n in wb.__all__ if isinstance(getattr(wb, n), types.ModuleType)}\n"
        "assert len(wb.__all__) - len(modules) > 100\n"
        "assert modules <= set(dir(wb)) and len(dir(wb)) == 45 and wb.__version__\n"
        "for package in map(wb.__dict__.get, modules):\n"
        "    for name in package.__all__:\n"
        "        assert not isinstance(getattr(package, name), types.ModuleType), name\n"
        "assert set(dir(wb)) - {'__version__'} <= set(wb.__all__)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_names_of_before_still_work():
    assert wb.lifted is wb.largest_rank_changes
    assert all(getattr(wb, old) is getattr(wb, new) for old, new in wb._FORMER_NAMES.items())
    assert not set(wb._FORMER_NAMES) & set(wb.__all__)


def test_what_is_not_there_is_an_attribute_error():
    code = (
        "import workbench as wb\n"
        "assert not hasattr(wb, 'no_such_name') and not hasattr(wb, '__wrapped__')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
