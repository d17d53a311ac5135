"""Faults done to scoring runs, by the tests (tests/test_faults_*.py) and by hand
(`python -m faults` in tests/); the figures are in tests/FAULTS.md."""
