"""The panels of the Explorer."""
