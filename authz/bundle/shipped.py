"""The default policy's bundle, shipped inside the package and trusted by its recorded digest."""

from pathlib import Path

from authz.bundle.digest import SHA256
from authz.bundle.reader import Bundle, read, verify_digest

PATH = Path(__file__).parents[1] / "bundles" / "default.tar.gz"


def read_shipped() -> Bundle:
    """The shipped bundle. Raises BundleError if it is not the one that this package was released with."""
    bundle = read(PATH)
    verify_digest(bundle, SHA256)
    return bundle


def shipped_archive() -> bytes:
    """The shipped bundle as the file that it is. Raises BundleError if it is not the one of this release."""
    read_shipped()
    return PATH.read_bytes()
