"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "87db3483e4fbfb2bbd48499f477e7fe25c19f35ddcfa33469847b9cb93e3a07c"
