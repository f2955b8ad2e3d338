"""The engines: policies that can be evaluated. So far the embedded one, OPA compiled to Wasm and run in process."""

from authz.engine.active import ActivePolicy
from authz.engine.embedded import BATCH_ITEMS, DEADLINE_SECONDS, EmbeddedPolicy, PolicyRefusedError
from authz.engine.module import Counts
from authz.engine.probe import probe

__all__ = [
    "BATCH_ITEMS",
    "DEADLINE_SECONDS",
    "ActivePolicy",
    "Counts",
    "EmbeddedPolicy",
    "PolicyRefusedError",
    "probe",
]
