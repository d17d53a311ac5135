"""What is shown, and what is asked of the reader, inside JupyterLab.

This room draws and listens. It imports `workbench` and hands it what was clicked or typed;
`workbench` never imports it, so that everything can be computed without a browser. There is no
arithmetic here: every number on the screen was computed in `workbench`. The head grid and the
token view come in the next release.
"""
