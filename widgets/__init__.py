"""What is shown, and what is asked of the reader, inside JupyterLab.

This package draws and listens. It imports `workbench` and hands it what was clicked or typed;
`workbench` never imports it, so that everything can be computed without a browser. There is no
arithmetic here: every number on the screen was computed in `workbench`.

    from widgets import Explorer
    Explorer(wb.load_model())
"""

from widgets.explorer import Explorer
from widgets.scaling.explorer import ScalingExplorer
from widgets.views.document_table import DocumentTable
from widgets.views.head_grid import HeadGrid
from widgets.views.token_view import TokenView

__all__ = ["DocumentTable", "Explorer", "HeadGrid", "ScalingExplorer", "TokenView"]
