"""Witnesses and anchors as the configuration states them."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from authz.anchoring.asking import AskedWitness
from authz.anchoring.directory import DirectoryAnchor
from authz.anchoring.endpoint import HttpAnchor
from authz.anchoring.places import Anchor
from authz.config import AnchorSettings, AuditSettings, WitnessSettings
from authz.core import ConfigurationError
from authz.tlog import CosignerKey, MalformedError

_FILE = "file:"


def check_outward(settings: AuditSettings) -> None:
    """Raise ConfigurationError, naming the key, for the first witness or anchor that cannot be used."""
    seen: set[str] = set()
    for at, witness in enumerate(settings.witnesses):
        key = f"audit.witnesses[{at}]"
        name = witness_key(witness, key).name
        _check_url(f"{key}.url", witness.url)
        if name in seen:
            raise ConfigurationError(f"{key}.key: a witness named {name!r} is listed already")
        seen.add(name)
    seen.clear()
    for at, anchor in enumerate(settings.anchors):
        key = f"audit.anchors[{at}]"
        _check_anchor(key, anchor)
        if anchor.to in seen:
            raise ConfigurationError(f"{key}.to: {anchor.to} is listed already")
        seen.add(anchor.to)


def witness_key(settings: WitnessSettings, key: str) -> CosignerKey:
    """The pinned key of a witness. Raises ConfigurationError."""
    try:
        return CosignerKey.read(settings.key)
    except MalformedError as error:
        raise ConfigurationError(f"{key}.key: {error}") from None


def asked_witness(settings: WitnessSettings, session: aiohttp.ClientSession, size: int) -> AskedWitness:
    """The client of a witness whose settings were checked."""
    return AskedWitness(settings.url, CosignerKey.read(settings.key), session, size)


def anchor_at(settings: AnchorSettings, session: aiohttp.ClientSession) -> Anchor:
    """The anchor whose settings were checked."""
    if settings.to.startswith(_FILE):
        return DirectoryAnchor(_directory(settings), settings.to)
    return HttpAnchor(settings.to, session, Path(settings.token_file) if settings.token_file else None)


def _directory(settings: AnchorSettings) -> Path:
    """`file:/DIR` and `file:///DIR` alike."""
    path = settings.to.removeprefix(_FILE)
    return Path(path.removeprefix("//") if path.startswith("///") else path)


def _check_anchor(key: str, settings: AnchorSettings) -> None:
    if not settings.to.startswith(_FILE):
        _check_url(f"{key}.to", settings.to)
        return
    directory = _directory(settings)
    if not directory.is_absolute() or str(directory).startswith("//"):
        raise ConfigurationError(f"{key}.to: must be file: and an absolute path, such as file:/mnt/anchor")
    if settings.token_file is not None:
        raise ConfigurationError(f"{key}.token_file: a directory takes no token")


def _check_url(key: str, text: str) -> None:
    try:
        url = urlsplit(text)
        host = url.hostname if url.port != 0 else None
    except ValueError:
        url, host = urlsplit(""), None
    if url.scheme not in ("https", "http") or not host or url.query or url.fragment:
        raise ConfigurationError(f"{key}: must be an https:// URL without query and fragment")
    if url.username is not None or url.password is not None:
        raise ConfigurationError(f"{key}: must not hold a user name or a password")
    if url.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"{key}: http:// is only for loopback; use https://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
