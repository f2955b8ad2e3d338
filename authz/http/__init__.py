"""HTTP: the decision listener and the admin listener."""

from authz.http.app import Listeners, serve
from authz.http.samples import sample_requests

__all__ = ["Listeners", "sample_requests", "serve"]
