"""The routes of the policies that records were made under, as far as their bundles are there."""

from functools import lru_cache
from pathlib import Path

from authz.audit import kept_policy
from authz.bundle import Bundle, read
from authz.core import AuthzError, RouteTable
from authz.engine import EmbeddedPolicy
from authz.history.asking import Known


def routes_known(state: Path | None, *bundles: Bundle) -> Known:
    """By revision: of these bundles, of those that the state directory keeps, and of the shipped one."""
    stated = {each.revision: each for each in bundles}

    @lru_cache
    def routes(revision: str) -> RouteTable | None:
        bundle = stated.get(revision)
        if bundle is None and state is not None:
            archive = kept_policy(state, revision).archive
            bundle = read(archive) if archive is not None else None
        return None if bundle is None else _routes(bundle)

    return routes


def _routes(bundle: Bundle) -> RouteTable | None:
    try:
        policy = EmbeddedPolicy.load(bundle.wasm, bundle.data_json, bundle.revision)
    except AuthzError:
        return None
    routes = policy.routes
    policy.close()
    return routes
