"""The API reference: a page for each package, made by pdoc from what the packages list."""
