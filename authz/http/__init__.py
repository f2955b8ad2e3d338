"""HTTP: the decision listener and the admin listener."""

from authz.http.app import Listeners, serve

__all__ = ["Listeners", "serve"]
