"""The book of published laws: what a law is, the entries, and the numbers that check them."""
