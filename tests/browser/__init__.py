"""The ES modules of `widgets/` in a real browser, without Jupyter."""
