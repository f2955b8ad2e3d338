"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "ec8d40fbd971cad80c8b883d5dba28ce9e1df14b10ea3ba66250136f471af838"
