"""What can go wrong on the way to a witness or an anchor. Neither holds up signing; both are shown in the status."""

from authz.core import AuthzError


class OutwardError(AuthzError):
    """It could not be reached, or did not do what it was asked. It is asked again later."""

    code = "outward_failed"


class HistoryError(OutwardError):
    """It remembers another history of this log than the one on this disk: rolled back, rewritten or forked."""

    code = "outward_disagrees"
