"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "0fbc8a254673731da80f6529589e05522e211a3fa63ceff771a4ba076b029b5b"
