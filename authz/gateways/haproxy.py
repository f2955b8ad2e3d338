"""HAProxy with the shipped Lua action, which sends a GET with these X-Original-* and X-Authz-*, and nothing else.

The action relays a denial whole; HAProxy itself lets nothing pass that the action did not mark as allowed.
"""

from authz.gateways.original import ORIGINAL, reads, stated
from authz.gateways.replies import write
from authz.gateways.wire import Dialect

DIALECT = Dialect("haproxy", reads("haproxy", ORIGINAL, stated), write)
