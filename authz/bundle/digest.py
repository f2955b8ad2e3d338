"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "1f0b7a710c8f03edc6975ce7e0050a82edb026d8a83001adca4e20cca0ef3801"
