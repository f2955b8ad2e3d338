"""Gateway dialects: each reads a request into an AccessRequest and writes a Decision into a Reply. No HTTP library."""

from authz.gateways import (
    apisix,
    apisix_opa,
    caddy,
    envoy,
    envoy_grpc,
    haproxy,
    ingress_nginx,
    kong,
    nginx,
    opa_data,
    traefik,
)
from authz.gateways.opa_data import OPA_DATA
from authz.gateways.plugins import Plugin
from authz.gateways.replies import printable, problem, refusal, without_body, write, write_observed
from authz.gateways.wire import (
    Dialect,
    Headers,
    Provenance,
    Reply,
    RequestHead,
    bearer_token,
    correlation,
    provenance,
    single,
    token_elsewhere,
)

_SPOKEN = (envoy, nginx, ingress_nginx, traefik, caddy, haproxy, apisix)

DIALECTS: dict[str, Dialect] = {f"/check/{each.DIALECT.name}": each.DIALECT for each in _SPOKEN}
"""Route prefix -> dialect. One route and one fixed header set each; there is no auto-detection."""

PLUGINS: dict[str, Plugin] = {"/v1/data/authz/kong": kong.PLUGIN, "/v1/data/authz/apisix": apisix_opa.PLUGIN}
"""Route -> OPA plugin."""

_BEFORE_A_PATH = {f"{prefix}/": prefix for prefix, dialect in DIALECTS.items() if dialect.path_follows}
_ALONE = frozenset(prefix for prefix, dialect in DIALECTS.items() if not dialect.path_follows)


def dialect_prefix(path: str) -> str | None:
    """The route prefix of the dialect that is spoken at a path."""
    for beginning, prefix in _BEFORE_A_PATH.items():
        if path.startswith(beginning):
            return prefix
    return path if path in _ALONE else None


__all__ = [
    "DIALECTS",
    "OPA_DATA",
    "PLUGINS",
    "Dialect",
    "Headers",
    "Plugin",
    "Provenance",
    "Reply",
    "RequestHead",
    "bearer_token",
    "correlation",
    "dialect_prefix",
    "envoy_grpc",
    "opa_data",
    "printable",
    "problem",
    "provenance",
    "refusal",
    "single",
    "token_elsewhere",
    "without_body",
    "write",
    "write_observed",
]
