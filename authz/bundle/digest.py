"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "9e85ccb6a01be5c4806505d61c69d7eecd966bc6af59a14e3d1a6383746eeec5"
