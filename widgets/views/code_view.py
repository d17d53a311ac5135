"""Python that rebuilds what is seen, to be copied with one click."""

from __future__ import annotations

import traitlets

from widgets.views.browser_files import module, stylesheet
from widgets.views.view import View


class CodeView(View):
    """A piece of code with a button that copies it.

    Attributes:
        code: Python.
    """

    _esm = module("code_view")
    _css = stylesheet("code_view")

    code = traitlets.Unicode("").tag(sync=True)
