"""The chosen texts, written out as trainers read them."""
