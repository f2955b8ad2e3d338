"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "35994128d92d2e819bf96f8e8e14cec004194e73aed8b53b9542910d6d2e9601"
