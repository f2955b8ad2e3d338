"""What can be wrong with service levels, or with finding out about them."""

from authz.core import AuthzError


class SloViolation(AuthzError):  # noqa: N818 - a promised name
    """An objective is violated, or too few are met."""

    code = "slo_violated"


class NotEnoughData(AuthzError):  # noqa: N818 - a promised name
    """Too little happened to say anything: neither a pass nor a failure."""

    code = "slo_not_enough_data"


class SloSourceError(AuthzError):
    """What was to be measured cannot be reached, or does not answer as it should."""

    code = "slo_source"


class ObjectivesError(AuthzError):
    """A file of objectives is not what this service reads; the message names the place."""

    code = "slo_objectives"
