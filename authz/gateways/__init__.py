"""Gateway dialects: each reads a request into an AccessRequest and writes a Decision into a Reply. No HTTP library."""

from authz.gateways import envoy
from authz.gateways.wire import (
    Dialect,
    Headers,
    Reply,
    RequestHead,
    bearer_token,
    printable,
    problem,
    provenance,
    refusal,
)

DIALECTS: dict[str, Dialect] = {"/check/envoy": envoy.DIALECT}
"""Route prefix -> dialect. One route and one fixed header set each; there is no auto-detection."""

__all__ = [
    "DIALECTS",
    "Dialect",
    "Headers",
    "Reply",
    "RequestHead",
    "bearer_token",
    "printable",
    "problem",
    "provenance",
    "refusal",
]
