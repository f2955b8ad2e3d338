"""Traefik's `ForwardAuth`: a GET with the client's own headers, and X-Forwarded-* that Traefik sets itself.

They are Traefik's own as long as `trustForwardHeader` is false and no entrypoint trusts the client's. 2xx allows;
everything else reaches the client whole.
"""

from authz.gateways.original import FORWARDED, forwarded, reads
from authz.gateways.replies import write
from authz.gateways.wire import Dialect

DIALECT = Dialect("traefik", reads("traefik", FORWARDED, forwarded), write)
