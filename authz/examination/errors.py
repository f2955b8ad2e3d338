"""Why a policy is not good enough. Each code is the event's reason, the metric's label, a row of docs/bundles.md."""

from authz.core import AuthzError


class ProbeError(AuthzError):
    """The policy answers outside the contract. Names the rule."""

    code = "policy_probe"


class CasesError(AuthzError):
    """The policy decides otherwise than the cases in its own bundle say. Names them."""

    code = "policy_cases"
