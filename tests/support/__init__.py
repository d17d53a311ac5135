"""What tests of several packages share: models, corpora, oracles, run folders."""
