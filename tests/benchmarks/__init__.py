"""How fast, how large and how exact the workbench is, next to other ways to the same numbers.

`make bench` runs every section and writes RESULTS.md beside this file. The driver keeps one process
a contestant (`worker`), speaks to it in lines of JSON (`processes`), and lets one compute at a
time. A section is a module with NAME, TITLE, `run` and `render`; `__main__` lists them.
"""
