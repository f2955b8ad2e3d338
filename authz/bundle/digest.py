"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "ed450db553489dc57433025ab4849d1675ae1b2bc707e88bbcdf94e337d7d322"
