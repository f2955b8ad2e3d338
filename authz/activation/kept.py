"""The bundle that a recorded decision was made with."""

from pathlib import Path

from authz import bundle
from authz.activation.journal import BundleStore
from authz.bundle import Bundle


def kept_bundle(state: Path, revision: str) -> Bundle:
    """The bundle of a revision in a state directory, or the shipped one. To explain by, not to decide by.

    Its signatures are not looked at again: they were before it was kept. Raises NotKeptError, BundleError.
    """
    shipped = bundle.read_shipped()
    return shipped if shipped.revision == revision else bundle.read(BundleStore(state).archive(revision))
