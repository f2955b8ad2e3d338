"""What the tests of notes share: the published keys, and the checkpoint they signed."""

from authz.tlog import Checkpoint, CosignerSigner, Signer
from tests.tlog.trees import ROOTS

LOG = Signer("audit.example/ledger1", bytes(range(32)))
WITNESS = CosignerSigner("witness.example/w1", bytes(range(32, 64)))
TIME = 1_764_000_000

CHECKPOINT = Checkpoint("audit.example/ledger1", 8, ROOTS[8])
TEXT = "audit.example/ledger1\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
LOG_LINE = (
    "— audit.example/ledger1 "
    "Za0cKJGfP4OaXE0PMEHwkJtaMjTlnZWVSxA8jz6kH5plRHHXhe/WzqMKEIN1Bu3DeEwfbZckls4oY2Ww1GB9UYQVaQ8="
)
WITNESS_LINE = (
    "— witness.example/w1 "
    "IDJKvgAAAABpJIEA5F49SQ2UuzSKkremkxmM3nBgfo/0RDL/nBpYwgwYFwrY8Ggg+QtBaho9Aiw38jMirFh4tVY0EHX3oQ5lPsMSDw=="
)
NOTE = f"{TEXT}\n{LOG_LINE}\n".encode()
COSIGNED = f"{TEXT}\n{LOG_LINE}\n{WITNESS_LINE}\n".encode()

LOG_VKEY = "audit.example/ledger1+65ad1c28+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
WITNESS_VKEY = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
LOG_PRIVATE = "PRIVATE+KEY+audit.example/ledger1+65ad1c28+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
