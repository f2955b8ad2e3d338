"""A policy with a limit on one route, small enough to reach and slow enough that no machine outlives it."""

import shutil
from pathlib import Path

import pytest

from authz import policy
from tests.processes import ROOT

COUNT = 3
PER_SECONDS = 36_000
FULL_AGAIN_SECONDS = PER_SECONDS // COUNT
LIMIT = {"scope": "memory:search", "count": COUNT, "per_seconds": PER_SECONDS, "burst": None}
_ROUTE = "  - {methods: [POST], all_of: [memory:search], event: memory.searched}"
_LIMITED = f"{_ROUTE[:-1]}, limits: [{{scope: memory:search, count: {COUNT}, per_seconds: {PER_SECONDS}}}]}}"


def build_limited(directory: Path, opa: Path) -> Path:
    """The shipped policy, but `POST /memory/search` three times in ten hours."""
    sources, bundle = directory / "policies", directory / "limited.tar.gz"
    shutil.copytree(ROOT / "policies", sources)
    routes = sources / "authz" / "routes" / "data.yaml"
    text = routes.read_text(encoding="utf-8")
    assert text.count(_ROUTE) == 1
    routes.write_text(text.replace(_ROUTE, _LIMITED), encoding="utf-8")
    policy.build(sources, bundle, opa)
    return bundle


@pytest.fixture(scope="session")
def limited_policy(tmp_path_factory: pytest.TempPathFactory, opa_binary: Path) -> Path:
    """The bundle."""
    return build_limited(tmp_path_factory.mktemp("limited"), opa_binary)
