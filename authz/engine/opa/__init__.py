"""The other engine: an OPA server, asked over HTTP. Imported where it is configured: its client takes 90 ms to load."""

from authz.engine.opa.child import OpaChild
from authz.engine.opa.client import NoAnswerError, OpaClient, RuleFailedError
from authz.engine.opa.engines import LocalEngine, OpaNotAnsweringError, RemoteEngine, local_engine, remote_engine
from authz.engine.opa.place import Place, read_place
from authz.engine.opa.policy import OpaPolicy
from authz.engine.opa.server import OpaServer

__all__ = [
    "LocalEngine",
    "NoAnswerError",
    "OpaChild",
    "OpaClient",
    "OpaNotAnsweringError",
    "OpaPolicy",
    "OpaServer",
    "Place",
    "RemoteEngine",
    "RuleFailedError",
    "local_engine",
    "read_place",
    "remote_engine",
]
