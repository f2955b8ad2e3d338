"""nginx's `auth_request`: a GET without a body; the original request in X-Original-*, which the configuration sets.

2xx allows; 401 and 403 deny; everything else, 429 and 503 among it, becomes a 500 unless the configuration says
otherwise, as the shipped one does. A body would cost nginx the connection, so there never is one.
"""

from authz.gateways.original import ORIGINAL, reads, stated
from authz.gateways.replies import write_without_body
from authz.gateways.wire import Dialect

DIALECT = Dialect("nginx", reads("nginx", ORIGINAL, stated), write_without_body, bodiless=True)
