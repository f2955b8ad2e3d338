"""Caddy's `forward_auth`: a GET with the client's own headers, and X-Forwarded-* that Caddy sets itself.

2xx allows; everything else reaches the client whole. Caddy 2.6 sends upstream a literal placeholder for a copied
header that the reply lacks: ours never lacks one.
"""

from authz.gateways.original import FORWARDED, forwarded, reads
from authz.gateways.replies import write
from authz.gateways.wire import Dialect

DIALECT = Dialect("caddy", reads("caddy", FORWARDED, forwarded), write)
