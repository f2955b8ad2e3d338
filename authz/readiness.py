"""Readiness, check by check."""

from msgspec import Struct


class Check(Struct, frozen=True):
    """One line of `/readyz`: what was looked at, and what to do when it is not well."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
