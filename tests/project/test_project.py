"""The files around the code say the same thing: packages, pins, commands, layout, directions."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOP = {
    "notebooks",
    "workbench",
    "widgets",
    "tests",
    "environment.yml",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "CITATION.cff",
    "pyproject.toml",
    "constraints.txt",
    "Makefile",
    ".ci",
    ".gitignore",
    ".gitattributes",
    ".pre-commit-config.yaml",
    "conftest.py",
}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def direct(extra: str = "") -> dict[str, Requirement]:
    """The packages that pyproject names, the project itself left out."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    found = {canonicalize_name(r.name): r for r in map(Requirement, lines)}
    found.pop(PROJECT["name"], None)
    return found


def everything() -> dict[str, Requirement]:
    found = direct()
    for extra in PROJECT["optional-dependencies"]:
        found |= direct(extra)
    return found


def pin_lines() -> list[str]:
    lines = (line.strip() for line in text("constraints.txt").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, Version]:
    pairs = (line.split("==") for line in pin_lines())
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_dependencies_name_what_the_bench_stands_on():
    core = {"jupyterlab", "ipywidgets", "torch", "transformers", "plotly", "pandas"}
    assert core <= direct().keys()
    assert {"pytest", "nbval"} <= direct("test").keys()


def test_every_constraint_is_an_exact_pin():
    loose = [line for line in pin_lines() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert loose == []
    assert len(pins()) == len(pin_lines())
    assert "torch==2.13.0" in pin_lines()
    assert not pins().keys() & {"pip", "setuptools", PROJECT["name"]}


def test_pins_lie_in_the_ranges_of_pyproject():
    named, pinned = everything(), pins()
    missing = sorted(named.keys() - pinned.keys())
    assert missing == [], "constraints.txt does not pin them: renew it as its header says"
    wrong = {
        name: f"{pinned[name]} is not {requirement.specifier}"
        for name, requirement in named.items()
        if not requirement.specifier.contains(pinned[name])
    }
    assert wrong == {}


def test_the_pins_can_be_installed_on_the_oldest_python_that_is_promised():
    """Debian's python3 is the one many have: a pin that asks for a later one ends `make demo`."""
    (oldest,) = re.findall(r">=([\d.]+)", PROJECT["requires-python"])
    refused = {
        name: asked
        for name in pins().keys() & {canonicalize_name(d.name) for d in metadata.distributions()}
        if (asked := metadata.metadata(name)["Requires-Python"])
        and not SpecifierSet(asked).contains(f"{oldest}.0")
    }
    assert refused == {}


def test_installed_versions_are_the_pinned_ones():
    names = direct() | direct("test") | direct("datasets")
    # Without a local tag: torch may carry one, such as +cpu.
    installed = {name: Version(Version(metadata.version(name)).public) for name in names}
    assert installed == {name: pins()[name] for name in names}


def test_conda_environment_leads_to_the_same_pins():
    environment = yaml.safe_load(text("environment.yml"))
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    (pip,) = (line["pip"] for line in environment["dependencies"] if isinstance(line, dict))
    (python,) = (line for line in conda if line.startswith("python="))
    assert Version(python.removeprefix("python=")) in SpecifierSet(PROJECT["requires-python"])
    assert {"pip", "git", "make"} <= set(conda)
    assert pip == ["--constraint constraints.txt", "--editable .[test]"]


def test_make_installs_the_same_pins():
    made = text("Makefile")
    assert "--constraint constraints.txt" in made
    assert "pyproject.toml constraints.txt" in made  # what the stamps are compared with
    asked = re.findall(r"^[A-Z]+ = \.\[(.*)\]$", made, re.M)  # what pip is given, with its extras
    assert {"eval,ray,scale", "test", "dev"} <= set(asked)
    assert set(",".join(asked).split(",")) <= PROJECT["optional-dependencies"].keys()


def test_ci_runs_what_a_newcomer_runs():
    script = ROOT / ".ci" / "run"
    lines = [line for line in text(".ci/run").splitlines() if line and not line.startswith("#")]
    commands = ["make check", "make test", "make test-slow"]
    assert lines == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', *commands]
    assert os.access(script, os.X_OK)


def test_citation_names_this_version():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    (paper,) = citation["references"]
    assert paper["title"].startswith("AttentionInfluence:")
    assert paper["identifiers"][0]["value"] == "arXiv:2505.07293"


def test_hooks_fetch_nothing():
    repositories = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert {each["repo"] for each in repositories} == {"local"}
    hooks = [hook for each in repositories for hook in each["hooks"]]
    assert {hook["language"] for hook in hooks} <= {"system", "pygrep"}


def test_top_level_holds_only_the_agreed_names():
    assert {name.split("/")[0] for name in tracked()} <= TOP


# Written in two parts, so that this file does not find itself.
HOSTS = re.compile("pypi" + r"\.org|files\.python" + "hosted")
ELSEWHERE = re.compile(r"(?<![\w.~-])/(?:wo" + r"rk|ro" + r"ot)(?![\w.-])")
HOMES = re.compile(r"(?<![\w.~-])/ho" + r"me/")


def test_no_file_names_a_registry_or_a_machine():
    found = {}
    for name in tracked():
        content = (ROOT / name).read_bytes().decode("utf-8", errors="replace")
        matches = HOSTS.findall(content) + ELSEWHERE.findall(content)
        if not name.startswith("tests/"):  # tests make up a home, to show that it is not let out
            matches += HOMES.findall(content)
        if matches:
            found[name] = matches
    assert found == {}
    assert len(tracked()) > 100


def imports(path: Path) -> Iterator[str]:
    """Every module that running the file could import, those inside functions included.

    What stands under `if TYPE_CHECKING:` is read by mypy only, and left out.
    """
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = ".".join(path.relative_to(ROOT).parts[:-1][: -node.level + 1 or None])
            base = ".".join(filter(None, [inside if node.level else "", node.module]))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def test_packages_import_only_what_stands_below_them():
    """The contracts stand in pyproject.toml, under [tool.importlinter]."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Contracts: 4 kept, 0 broken." in done.stdout


def test_no_folder_of_the_packages_shows_more_than_fifteen_entries():
    crowded = {}
    for top in ("workbench", "widgets"):
        for folder in [ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir())]:
            names = [name for name in tracked() if Path(name).parent == folder.relative_to(ROOT)]
            shown = {Path(name).stem for name in names} - {"__init__"}
            if len(shown) > 15:
                crowded[folder.name] = sorted(shown)
    assert crowded == {}
    loose = [name for name in tracked() if re.fullmatch(r"workbench/\w+\.py", name)]
    assert loose == ["workbench/__init__.py"]


def test_no_module_has_the_name_of_a_public_function():
    """Else `import workbench.selection.funnel as f` gives the function and not the module."""
    hidden, looked_at = [], 0
    for stub in sorted((ROOT / "workbench").rglob("__init__.pyi")):
        (names,) = (
            ast.literal_eval(node.value)
            for node in ast.parse(stub.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        folder = stub.parent
        inside = {path.stem for path in folder.glob("*.py")}
        inside |= {path.parent.name for path in folder.glob("*/__init__.py")}
        if folder.name == "workbench":  # `wb.scoring` is the package itself
            names = [name for name in names if not (folder / name / "__init__.py").is_file()]
        hidden += [f"{folder.name}.{name}" for name in sorted(inside & set(names))]
        looked_at += len(names)
    assert hidden == []
    assert looked_at > 400


def test_this_python_is_one_the_project_takes():
    assert Version(".".join(map(str, sys.version_info[:3]))) in SpecifierSet(
        PROJECT["requires-python"]
    )
