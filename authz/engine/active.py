"""The policy in force."""

from collections.abc import Callable

from authz.core import Policy


class ActivePolicy:
    """Implements core.Policies: holds one policy and changes it in one step."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._followers: list[Callable[[], None]] = []

    @property
    def active(self) -> Policy:
        """See core.Policies."""
        return self._policy

    def replace(self, policy: Policy) -> Policy:
        """Put `policy` in force and return the one before it, which the caller closes when its questions are done."""
        self._policy, before = policy, self._policy
        for told in self._followers:
            told()
        return before

    def follow(self, told: Callable[[], None]) -> None:
        """Call `told`, which must not wait, whenever another policy is in force."""
        self._followers.append(told)
