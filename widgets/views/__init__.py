"""Views drawn in the browser, and their state in Python."""
