"""The engines: policies that can be evaluated. OPA compiled to Wasm and run in process, or an OPA server (`opa`)."""

from authz.engine.active import ActivePolicy
from authz.engine.company import BATCH_ITEMS
from authz.engine.embedded import DEADLINE_SECONDS, EmbeddedPolicy, PolicyRefusedError
from authz.engine.engines import EmbeddedEngine, Engine, LoadedPolicy, start_engine
from authz.engine.module import Counts
from authz.engine.probe import probe

__all__ = [
    "BATCH_ITEMS",
    "DEADLINE_SECONDS",
    "ActivePolicy",
    "Counts",
    "EmbeddedEngine",
    "EmbeddedPolicy",
    "Engine",
    "LoadedPolicy",
    "PolicyRefusedError",
    "probe",
    "start_engine",
]
