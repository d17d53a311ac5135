"""`make docs`: write the API reference into a folder, notebooks linked from its first page.

pdoc's own command would read each package's `.pyi`, which holds names and no text, in place of its
docstring, and document every name a second time under `workbench`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import TagRemovePreprocessor
from pdoc import doc, doc_pyi, render

import workbench

ROOT = Path(__file__).parents[2]
# Solutions open on a click.
FOLD = """<script>
for (const cell of document.querySelectorAll(".celltag_solution")) {
  const fold = document.createElement("details");
  const title = document.createElement("summary");
  title.textContent = "Solution";
  cell.replaceWith(fold);
  fold.append(title, cell);
}
</script>"""


def documented() -> list[str]:
    """The packages with public names: those that `dir(workbench)` lists, and the widgets."""
    inside = [f"workbench.{found.name}" for found in pkgutil.iter_modules(workbench.__path__)]
    return [name for name in inside if name.split(".")[1] in dir(workbench)] + ["widgets"]


def resolved(name: str) -> ModuleType:
    """The package with every public name in its dict, where pdoc looks for them."""
    package = importlib.import_module(name)
    for public in package.__all__:
        vars(package)[public] = getattr(package, public)
    return package


def notebooks(out: Path) -> list[tuple[str, str]]:
    """Write each notebook as a page, with its stored outputs; returns address and heading of each.

    Figures are the pictures that the notebook holds. A formula needs MathJax from the network.
    Cells that only test are left out, solutions are folded, and links lead from page to page.
    """
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.register_preprocessor(TagRemovePreprocessor(remove_cell_tags={"test"}), enabled=True)
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    to_root = Path(os.path.relpath(ROOT, out / "notebooks")).as_posix()
    linked = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        body, _ = exporter.from_filename(str(path))
        # What a notebook links to lies in the project, as seen from its folder.
        body = body.replace('href="../', f'href="{to_root}/')
        body = re.sub(r'href="(\w+)\.ipynb', r'href="\1.html', body)
        body = body.replace("</body>", f"{FOLD}</body>")
        (out / "notebooks" / f"{path.stem}.html").write_text(body, encoding="utf-8")
        heading = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0]
        linked.append((f"notebooks/{path.stem}.html", heading.lstrip("# ")))
    return linked


def write(out: Path) -> list[Path]:
    """Write the pages, the first page and the search index into `out`; returns the pages."""
    render.configure(
        docformat="google", show_source=False, template_directory=Path(__file__).parent
    )
    doc_pyi.find_stub_file = lambda name: None  # the annotations are in the code itself
    modules = {name: doc.Module(resolved(name)) for name in documented()}
    render.env.globals |= {
        "notebooks": notebooks(out),
        "summary": (workbench.__doc__ or "").partition("\n")[0],
    }
    pages = []
    for name, module in modules.items():
        page = out / f"{name.replace('.', '/')}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render.html_module(module, modules), encoding="utf-8")
        pages.append(page)
    (out / "index.html").write_text(render.html_index(modules), encoding="utf-8")
    (out / "search.js").write_text(render.search_index(modules), encoding="utf-8")
    return pages


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    print(f"{len(write(folder))} pages; the first is {folder / 'index.html'}")
