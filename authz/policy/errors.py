"""Why a policy was not built."""

from collections.abc import Iterable

from msgspec import Struct

from authz.core import AuthzError


class Problem(Struct, frozen=True, order=True):
    """One thing to mend: where (`path` inside the sources; `line` counts from 1), and what, with the fix."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class BuildError(AuthzError):
    """The policy cannot be built, or breaks the contract. Holds every problem found."""

    code = "policy_build"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))
