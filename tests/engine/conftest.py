"""Policies for the engine's tests, compiled by the real `opa`, and the two ways to evaluate them."""

import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from authz.engine import EmbeddedPolicy
from authz.engine import guest as guest_module

ROOT = Path(__file__).parents[2]
POLICIES = Path(__file__).parent / "policies"
ALL = ("decision", "decisions", "explain", "catalogue")


class Compiled(NamedTuple):
    """What a bundle holds of a policy, and the folder it was built from."""

    wasm: bytes
    data: bytes
    sources: Path


Compile = Callable[..., Compiled]
Load = Callable[..., EmbeddedPolicy]


@pytest.fixture(scope="session")
def compile_policy(opa_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile a folder of Rego, by name under `policies/` or by path, with some of the contract's entrypoints."""

    @cache
    def compiled(sources: str | Path, *entrypoints: str) -> Compiled:
        folder = POLICIES / sources
        bundle = tmp_path_factory.mktemp("bundle") / "bundle.tar.gz"
        named = [argument for name in entrypoints or ALL for argument in ("-e", f"authz/{name}")]
        build = [str(opa_binary), "build", "-t", "wasm", "-b", *named, str(folder), "-o", str(bundle)]
        subprocess.run(build, check=True, capture_output=True)
        with tarfile.open(bundle) as archive:
            return Compiled(_member(archive, "/policy.wasm"), _member(archive, "/data.json"), folder)

    return compiled


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


@pytest.fixture(params=["prepared", "library"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to evaluate; `library` as it comes about, by a wasmtime-py with another layout."""
    if request.param == "library":
        monkeypatch.setattr(guest_module, "_layout", _unknown_layout)
    return str(request.param)


def _unknown_layout(_runtime: object) -> None:
    raise guest_module.LayoutError("another version")


@pytest.fixture(scope="session")
def loaded() -> Iterator[dict[tuple[object, ...], EmbeddedPolicy]]:
    """Every policy that a test loaded: compiling one takes longer than most tests."""
    policies: dict[tuple[object, ...], EmbeddedPolicy] = {}
    yield policies
    for policy in policies.values():
        policy.close()


@pytest.fixture
def load(
    request: pytest.FixtureRequest, compile_policy: Compile, loaded: dict[tuple[object, ...], EmbeddedPolicy]
) -> Load:
    """Load a policy by the name of its folder. `fresh`: one that no other test has seen.

    The deadline is a long one unless a test is about it: a busy machine may well leave a test waiting for 50 ms.
    """
    used = request.getfixturevalue("kind") if "kind" in request.fixturenames else "prepared"

    def load_policy(
        sources: str, *entrypoints: str, data: bytes | None = None, deadline_seconds: float = 5.0, fresh: bool = False
    ) -> EmbeddedPolicy:
        key = (used, sources, entrypoints, data, deadline_seconds, request.node.name if fresh else None)
        if key not in loaded:
            compiled = compile_policy(sources, *entrypoints)
            data = compiled.data if data is None else data
            loaded[key] = EmbeddedPolicy.load(
                compiled.wasm, data, "0123456789abcdef", deadline_seconds=deadline_seconds
            )
        return loaded[key]

    return load_policy
