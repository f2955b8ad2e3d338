"""What attackers send: request targets that are read in more than one way, and headers that say what is not so."""

import os
import re
from collections.abc import Iterable, Iterator
from itertools import product
from urllib.parse import unquote_to_bytes

from tests.gateways.questions import EVIL

UPS = (
    "..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..;", "..;x=1", "..%00", "..%09", "%c0%ae%c0%ae", "%u002e%u002e",
    "..%20", "%ef%bc%8e%ef%bc%8e", ".",
)  # fmt: skip
"""Spellings of "one up", some of them only to somebody."""

SLASHES = (
    "/", "//", "%2f", "%2F", "\\", "%5c", "%252f", "/./", "/;/", "/.;/", "%c0%af", "%ef%bc%8f", "%u2215", "\t/",
    "/%09/",
)  # fmt: skip
"""Spellings of "between two segments"."""

PLAIN = (
    "/memory", "/memory?q=/../admin", "/memory/42", "/memory/42?", "/memory/a.b", "/memory/...", "/memory/a..b",
    "/memory/%61", "/memory/a%20b", "/memory/caf%C3%A9", "/memory/100%25", "/memory/user@example.com",
    "/memory/a:b,c=d", "/memory/-~_!$&'()*+",
)  # fmt: skip
"""Targets that are read in one way, and that a `user_basic` may get."""

ODD = (
    "/admin%2fconfig", "/admin/config/", "/admin/config%20", "/admin/config?x", "/%61dmin/config", "/ADMIN/config",
    "/Admin/Config", "/admin;/config", "/admin/config;.css", "/admin/config/.", "/admin/config/..;/config",
    "/./admin/config", "/;/admin/config", "/.;/admin/config", "/memory/42#/../../admin/config", "/memory#",
    "/memory%23/../../admin/config", "/memory%3f/../../admin/config", "/memory/42%00.json", "/memory/\x7f",
    "/memory/a b", "/memory/\udce4", "/memory/ä", "/memory/%", "/memory/%2", "/memory/%zz", "/memory/%25%32%65",
    "/memory/%252e", "/memory/\\..\\..\\admin\\config", "\\admin\\config", "/\\admin/config", "admin/config", "*",
    "", "/memory/..", "/memory/../", "/memory/.", "/../../memory", "/memory//", "/memory//42", "//memory",
    "///memory", "/memory/42/", "//evil.test/memory", "/\t/admin/config", "http://api.test/memory",
    "http://api.test/admin/config", "http://evil.test/memory", "http://api.test@evil.test/memory",
    "http://api.test//admin/config", "http://api.test/memory/../admin/config", "HTTP://API.TEST/memory",
    "https://api.test/memory", "http:///memory", "http://api.test", "http://api.test?/memory",
    "http://[::1]/memory", "file:///memory", "//api.test/memory", "api.test:80",
    "/memory/http://api.test/admin/config", "/memory/%0d%0aX-Authz-Subject:%20root", "/memory/%0a",
    "/memory/%e2%80%ae", "/memory?%00", "/memory?a=b#c", "/memory?a=b\\..\\admin", "/memory?\udce4",
    "/memory/" + "a" * 7_000, "/" + "a/" * 2_000, "/memory/" + "%61" * 2_000,
    "/memory/" + "../" * 500 + "admin/config", "/memory/42/../../admin/config/../../memory/42",
)  # fmt: skip


def targets() -> list[str]:
    """The whole corpus: from where a `user_basic` may be to where it may not, and everything else."""
    climbs = [
        f"{start}{slash}{up}{slash}{up}{slash}admin{slash}config"
        for start, slash, up in product(("/memory/42",), SLASHES, UPS)
    ]
    climbs += [f"/health{slash}{up}{slash}admin/config" for slash, up in product(SLASHES, UPS)]
    leads = [f"{slash}admin/config" for slash in SLASHES] + [f"/memory{slash}42" for slash in SLASHES]
    leads += [f"/{up}/admin/config" for up in UPS] + [f"/memory/{up}" for up in UPS]
    return list(dict.fromkeys([*PLAIN, *ODD, *leads, *climbs]))


def some_targets() -> list[str]:
    """As many of them, evenly picked, as AUTHZ_TEST_PATHS says; those that must pass are always there."""
    corpus = targets()
    count = int(os.environ.get("AUTHZ_TEST_PATHS", "100"))
    return list(dict.fromkeys([*PLAIN, *corpus[:: max(1, len(corpus) // count)]]))


def readings(target: str) -> set[str]:
    """Every path that a gateway, framework or file system takes a target for, whatever it decodes, cuts or merges."""
    found = {target.partition("?")[0]}
    waiting = list(found)
    while waiting:
        path = waiting.pop()
        new = {each(path) for each in _READERS} - found
        found |= new
        waiting += new
    return found


def _decoded(path: str) -> str:
    return unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _overlong(path: str) -> str:
    for encoded, plain in (
        ("c0%ae", "."),
        ("c0%af", "/"),
        ("ef%bc%8e", "."),
        ("ef%bc%8f", "/"),
        ("u002e", "."),
        ("u2215", "/"),
    ):
        path = re.sub(f"%{encoded}", plain, path, flags=re.IGNORECASE)
    return path


def _up(path: str) -> str:
    """RFC 3986 section 5.2.4."""
    kept: list[str] = []
    segments = path.split("/")
    for at, segment in enumerate(segments):
        if segment == "..":
            kept = kept[:-1] or [""]
        elif segment != "." or at == 0:
            kept.append(segment)
            continue
        if at == len(segments) - 1:
            kept.append("")
    return "/".join(kept)


_READERS = (
    _decoded,
    _overlong,
    _up,
    lambda path: path.replace("\\", "/"),
    lambda path: re.sub("/{2,}", "/", path),
    lambda path: re.sub(";[^/]*", "", path),
    lambda path: path.partition("#")[0],
    lambda path: path.partition("?")[0],
    lambda path: path.partition("\0")[0],
    lambda path: re.sub(r"[\x00-\x20]+(?=/|$)", "", path),
    lambda path: re.sub(r"^[A-Za-z]+://[^/]*", "", path),
)

Fields = tuple[tuple[str, str], ...]

IDENTITY = ("X-Authz-Subject", "X-Authz-Roles", "X-Authz-Scopes", "X-Decision-Id")
CLAIMS = {**dict.fromkeys(IDENTITY, "root"), **EVIL}
del CLAIMS["Host"]


def claims() -> Iterator[Fields]:
    """Sets of headers by which a client says who it is, where it goes or where it comes from."""
    yield tuple(CLAIMS.items())
    for name, value in CLAIMS.items():
        for spelt in _spellings(name):
            yield ((spelt, value),)
        yield ((name, value), (name, value))
        yield ((name, ""), (name.lower(), value))
        yield ((name, value), ("Connection", f"keep-alive, {name}"))
        yield ((name, f"a\r\n {value}"),)
    for listed in ("Authorization", "Host", *IDENTITY, "X-Original-URI", "X-Forwarded-Uri", "X-Request-Id"):
        yield (("Connection", listed),)
        yield (("Connection", "close"), ("Connection", listed.lower()))
        yield (("Proxy-Connection", listed), ("Keep-Alive", listed))
    yield (("X-Envoy-Auth-Headers-To-Remove", "x-authz-subject"), ("X-Envoy-Auth-Partial-Body", "false"))
    yield (("X-Authz-Caller-Token", "secret"),)
    yield (("X-Envoy-Expected-Rq-Timeout-Ms", "0"), ("X-Envoy-Internal", "true"))


def _spellings(name: str) -> Iterable[str]:
    parts = re.split("-", name)
    between = product("-_", repeat=len(parts) - 1)
    spelt = ["".join(map("".join, zip(parts, (*joints, ""), strict=True))) for joints in between]
    return dict.fromkeys([*spelt, name.lower(), name.upper(), f"{name} ", f" {name}", f"{name}\t", f"\0{name}"])
