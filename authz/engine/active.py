"""The policy in force."""

from authz.core import Policy


class ActivePolicy:
    """Implements core.Policies: holds one policy and changes it in one step."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def active(self) -> Policy:
        """See core.Policies."""
        return self._policy

    def replace(self, policy: Policy) -> Policy:
        """Put `policy` in force and return the one before it, which the caller closes when its questions are done."""
        self._policy, before = policy, self._policy
        return before
