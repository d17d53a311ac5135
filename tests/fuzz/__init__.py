"""A fuzzer for everything that the workbench reads from elsewhere: corpora, head sets, run folders,
manifests. `python -m fuzz --cases 10000` from this folder prints what came of it.

A case is made from (seed, target, number) alone, so each can be had again. What must hold for it:
the documented outcome and no other exception, no crash, no hang, bounded memory, no file outside
its folder, no pickle, no connection.
"""
