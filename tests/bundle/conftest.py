"""Bundles made by hand: the shipped one's members, changed."""

import pytest

from authz import bundle


@pytest.fixture
def members() -> dict[str, bytes]:
    """The members of a sound bundle."""
    return dict(bundle.read_shipped().members)
