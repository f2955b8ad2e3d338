"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "9d22b9d429797faa37a1c2d240106b41b1128edba27a627ac1db49d83fdcddcf"
