"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = ""
