"""Docstrings: each public name has one, which explains its parameters and the errors it raises.

The rules of form are ruff's (`[tool.ruff.lint.pydocstyle]` in pyproject.toml). Ruff does not ask
for a section of parameters where there is none, and knows nothing of the fields of dataclasses;
that is what is held here.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from workbench.cli import app

ROOT = Path(__file__).parents[2]
# Packages whose docstrings are complete, as "workbench/<package>" or "widgets". A new package is
# added here with its docstrings.
DONE = (
    "workbench/analysis",
    "workbench/cli",
    "workbench/core",
    "workbench/corpus",
    "workbench/detection",
    "workbench/evaluation",
    "workbench/figures",
    "workbench/loading",
    "workbench/manifest",
    "workbench/masking",
    "workbench/models",
    "workbench/scaling",
    "workbench/scoring",
    "workbench/selection",
    "workbench/session",
    "workbench/training",
    "widgets",
)

# Not yet: these have no section of errors. Whoever writes it takes the name from here.
WITHOUT_RAISES = {"raises", "DocumentTable.values", "RowTable.values"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
MAKERS = ("__init__", "__post_init__")
UNSAID = " does not say what it raises"


@pytest.mark.parametrize("package", DONE)
def test_every_parameter_of_a_public_name_is_explained(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package} holds no Python file: take it from DONE, or mend its path"
    gaps = [
        f"{file.relative_to(ROOT)}:{line} {gap}"
        for file in files
        for line, gap in gaps_in(ast.parse(file.read_text(encoding="utf-8")))
        if not (package == "widgets" and gap.removesuffix(UNSAID) in WITHOUT_RAISES)
    ]
    assert not gaps, "\n".join(gaps)


@pytest.mark.parametrize(
    ("source", "gap"),
    [
        ("def f(): pass", "f has no docstring"),
        ("class A:\n def m(self): pass", "A has no docstring"),
        ("class A:\n 'A.'\n def m(self): pass", "A.m has no docstring"),
        ("def f(x):\n 'Do x: y.'", "f does not explain x"),
        ("def f(*names, **options):\n '''F.\n\n Args:\n  *names: n.\n '''",
         "f does not explain options"),
        ("def f(x):\n '''F.\n\n Returns:\n  x: not a parameter.\n '''", "f does not explain x"),
        ("def f(x, y):\n '''F.\n\n Args:\n  x: z.\n    y: of x.\n '''", "f does not explain y"),
        ("class A:\n 'A.'\n def __init__(self, x): pass", "A does not explain x"),
        ("@dataclass(frozen=True)\nclass A:\n 'A.'\n x: int", "A does not explain x"),
        ("class A(NamedTuple):\n 'A.'\n x: int", "A does not explain x"),
        ("if True:\n def f(x):\n  'F.'", "f does not explain x"),
        ("def f():\n 'F.'\n if 1:\n  raise ValueError", "f does not say what it raises"),
        ("class A:\n 'A.'\n def m(self):\n  'M.'\n  raise E()", "A.m does not say what it raises"),
        ("class A:\n 'A.'\n def __init__(self):\n  raise E()", "A does not say what it raises"),
    ],
)  # fmt: skip
def test_a_gap_is_found(source: str, gap: str) -> None:
    assert gap in [text for _, text in gaps_in(ast.parse(source))]


@pytest.mark.parametrize(
    "source",
    [
        "def _f(x): pass",
        "class _A:\n def m(self, x): pass",
        "def f(x, *args, y=1):\n '''F.\n\n Args:\n  x (int): a.\n  *args: b.\n  y: c.\n '''",
        "class A:\n '''A.\n\n Args:\n  x: a.\n '''\n def __init__(self, x): pass",
        "class A:\n 'A.'\n def __init__(self, x):\n  '''Set.\n\n  Args:\n   x: a.\n  '''",
        "@dataclass\nclass A:\n '''A.\n\n Attributes:\n  x: a.\n '''\n x: int\n _y: int = 0",
        "class A:\n 'A.'\n @classmethod\n def m(cls):\n  'M.'\n @overload\n def n(self, x): ...",
        "def f():\n 'F.'\n def inner(x): pass",
        "def f():\n 'F.'\n def inner(): raise ValueError",
        "def f():\n '''F.\n\n Raises:\n  ValueError: always.\n '''\n raise ValueError",
        "class A:\n 'A.'\n def __init__(self):\n  '''S.\n\n  Raises:\n   E: e.\n  '''\n  raise E",
        "def f():\n 'F.'\n try:\n  g()\n except E:\n  raise",  # another's error passes through
        "@app.command()\ndef f():\n 'F.'\n raise ValueError",
    ],
)
def test_what_is_explained_or_private_is_no_gap(source: str) -> None:
    assert list(gaps_in(ast.parse(source))) == []


def gaps_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and description of each public name or parameter that has no explanation."""
    for node in definitions(tree):
        if isinstance(node, ast.ClassDef):
            yield from gaps_of_class(node)
        else:
            yield from gaps_of(node, node.name, [] if is_command(node) else parameters(node))


def is_command(node: Function) -> bool:
    """Whether it is a command of typer, which shows the docstring; `help=` explains each option."""
    return any(name_of(decorator) == "command" for decorator in node.decorator_list)


def gaps_of_class(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    names, texts = fields(node), []
    for child in definitions(node, also=("__init__", "__call__")):
        if isinstance(child, ast.ClassDef):
            yield from gaps_of_class(child)
        elif child.name == "__init__":
            names += parameters(child)[1:]
            texts.append(ast.get_docstring(child) or "")
        else:
            bound = not any(
                name_of(decorator) == "staticmethod" for decorator in child.decorator_list
            )
            yield from gaps_of(child, f"{node.name}.{child.name}", parameters(child)[bound:])
    yield from gaps_of(node, node.name, names, *texts)


def gaps_of(
    node: Function | ast.ClassDef, name: str, names: list[str], *more: str
) -> Iterator[tuple[int, str]]:
    docstring = ast.get_docstring(node)
    if docstring is None:
        yield node.lineno, f"{name} has no docstring"
        return
    explained = {entry for text in (docstring, *more) for entry in entries(text)}
    for parameter in names:
        if parameter not in explained:
            yield node.lineno, f"{name} does not explain {parameter}"
    if not says_what_it_raises(node):
        yield node.lineno, name + UNSAID


def says_what_it_raises(node: Function | ast.ClassDef) -> bool:
    """Whether a docstring with `Raises:` stands where an error is raised.

    For a class that is what makes an object: its docstring, or that of the method.
    """
    if not isinstance(node, ast.ClassDef):
        return not raises(node) or says(node)
    makers = [n for n in node.body if isinstance(n, Function) and n.name in MAKERS]
    return says(node) or all(says(maker) for maker in makers if raises(maker))


def says(node: Function | ast.ClassDef) -> bool:
    return re.search(r"^Raises:$", ast.get_docstring(node) or "", re.M) is not None


def raises(node: Function) -> bool:
    """Whether an error is raised in a function itself, not in one inside, and not again."""
    waiting: list[ast.AST] = [] if is_command(node) else [*node.body]
    while waiting:
        here = waiting.pop()
        if isinstance(here, ast.Raise) and here.exc is not None:
            return True
        if not isinstance(here, Function | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(here))
    return False


def definitions(tree: ast.AST, also: tuple[str, ...] = ()) -> Iterator[Function | ast.ClassDef]:
    """Public functions and classes of a module or class, also those behind an `if` or `try`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            overload = any(
                name_of(decorator) in ("overload", "setter") for decorator in child.decorator_list
            )
            if not overload and (not child.name.startswith("_") or child.name in also):
                yield child
        elif isinstance(child, ast.If | ast.Try | ast.With):
            yield from definitions(child, also)


def parameters(node: Function) -> list[str]:
    """The names of all parameters, in order of kind, without the unused ones (`_x`)."""
    a = node.args
    every = [
        *a.posonlyargs,
        *a.args,
        *a.kwonlyargs,
        *(argument for argument in (a.vararg, a.kwarg) if argument),
    ]
    return [argument.arg for argument in every if not argument.arg.startswith("_")]


def fields(node: ast.ClassDef) -> list[str]:
    """The public fields of a dataclass, NamedTuple or TypedDict; nothing for other classes."""
    decorators = {name_of(decorator) for decorator in node.decorator_list}
    bases = {name_of(base) for base in node.bases}
    if not ("dataclass" in decorators or bases & {"NamedTuple", "TypedDict"}):
        return []
    return [
        child.target.id
        for child in node.body
        if isinstance(child, ast.AnnAssign)
        and isinstance(child.target, ast.Name)
        and not child.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(child.annotation)
    ]


def name_of(node: ast.expr) -> str:
    """The last name of a decorator or base: `dataclasses.dataclass(frozen=True)`: dataclass."""
    if isinstance(node, ast.Call):
        return name_of(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def entries(docstring: str) -> set[str]:
    """The names that the `Args:` and `Attributes:` sections of a docstring explain.

    An entry stands at the indentation of the section's first line: what is indented further
    belongs to the entry above it.
    """
    names = set()
    for section in re.finditer(r"^(?:Args|Attributes):\n((?:[ ]+.*(?:\n|$)|\n)+)", docstring, re.M):
        lines = section[1].splitlines()
        indent = re.match(" +", lines[0])
        for line in lines:
            if indent and (entry := re.match(indent[0] + r"\*{0,2}(\w+)(?: \(.*?\))?: \S", line)):
                names.add(entry[1])
    return names


def test_every_option_of_every_command_has_a_help_text() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) > 8
    bare = [
        f"{name}: {parameter.name}"
        for name, command in commands.items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert bare == []
