"""A decision point that follows a source of bundles, on free ports."""

from tests.http.conftest import start

__all__ = ["start"]
