"""The scaling explorer: laws, runs and mixtures, each in a panel."""
