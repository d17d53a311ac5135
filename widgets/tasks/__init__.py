"""Work in the background, and its end."""
