"""A policy to look at, wherever it is: a bundle, a directory of sources, a commit, or in force in a sidecar."""

import asyncio
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from msgspec import Struct

from authz.bundle import Bundle, Opa, read
from authz.client import admin_download
from authz.core import AuthzError
from authz.engine import EmbeddedPolicy
from authz.policy.build import build

GIT = "git:"
LIVE = ("http://", "https://", "unix:")
_DEADLINE_SECONDS = 1.0
_GIT_SECONDS = 60


class NotAPolicyError(AuthzError):
    """There is no policy where one was said to be."""

    code = "not_a_policy"


class Opened(Struct, frozen=True):
    """A policy ready to be asked, its data document, and what it was called."""

    name: str
    policy: EmbeddedPolicy
    data: bytes


def opened(source: str, opa: Opa | None = None, *, token: str | None = None) -> Opened:
    """Load a policy: `FILE` (a bundle), `DIRECTORY` (sources, built here), `git:REF[:DIRECTORY]` (`policies`), or what
    is in force at an admin listener (`http://HOST:PORT`, `https://...`, `unix:PATH`), which is shown `token`.

    A bundle's signatures are not looked at: nothing is decided by it here. Not from within an event loop.
    Raises NotAPolicyError, BuildError, OpaMissingError, BundleError, PolicyRefusedError or AdminRefusedError.
    """
    return opened_bundle(source, bundle_of(source, opa, token=token))


def opened_bundle(name: str, found: Bundle) -> Opened:
    """The policy of a bundle. Raises PolicyRefusedError."""
    policy = EmbeddedPolicy.load(found.wasm, found.data_json, found.revision, deadline_seconds=_DEADLINE_SECONDS)
    return Opened(name, policy, found.data_json)


def bundle_of(source: str, opa: Opa | None = None, *, token: str | None = None) -> Bundle:
    """The bundle, built if it has to be, as `opened` does."""
    if source.startswith(LIVE):
        return read(asyncio.run(admin_download(source, "/v1/policy/bundle", token)))
    if source.startswith(GIT):
        with tempfile.TemporaryDirectory(prefix="authz-policy-") as room:
            return _built(_checked_out(source, Path(room)), opa)
    path = Path(source)
    if path.is_dir():
        return _built(path, opa)
    if not path.is_file():
        raise NotAPolicyError(f"{source}: no such bundle or directory (or write git:REF)")
    return read(path)


def _built(directory: Path, opa: Opa | None) -> Bundle:
    with tempfile.TemporaryDirectory(prefix="authz-policy-") as room:
        archive = Path(room) / "bundle.tar.gz"
        build(directory, archive, opa.path if opa is not None else None)
        return read(archive)


def _checked_out(source: str, room: Path) -> Path:
    """The sources as they are in a commit of the repository that the working directory is in."""
    ref, _, directory = source.removeprefix(GIT).partition(":")
    directory = directory.strip("/") or "policies"
    if not ref or ref.startswith("-"):
        raise NotAPolicyError(f"{source}: name a commit, a branch or a tag (git:main)")
    try:
        done = subprocess.run(  # noqa: S603 - the ref cannot be an option
            ["git", "archive", "--format=tar", f"{ref}:./{directory}"],  # noqa: S607
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAPolicyError(f"{source}: git did not answer: {error}") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotAPolicyError(f"{source}: {said[-1] if said else 'git knows no such directory in it'}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(room, filter="data")
    return room
