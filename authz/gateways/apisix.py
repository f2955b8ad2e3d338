"""APISIX's `forward-auth`: a GET with X-Forwarded-* that APISIX sets, and the client's headers that are listed.

Everything below 300 allows. A client header listed as `x-forwarded-uri` would arrive as a second one: a refusal.
"""

from authz.gateways.original import FORWARDED, forwarded, reads
from authz.gateways.replies import write
from authz.gateways.wire import Dialect

DIALECT = Dialect("apisix", reads("apisix", FORWARDED, forwarded), write)
