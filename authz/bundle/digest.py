"""The digest of the shipped bundle. Written by `python tools/build_bundle.py`, not by hand."""

SHA256 = "5203e2767cd5e2fb7ceab23862ef20743e1d5aa82a42661b911d305ea10390e0"
