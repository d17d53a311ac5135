"""The folder of a scoring run: its record, its receipts, and what is set aside in it."""
