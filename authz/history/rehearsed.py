"""What is said to the process that replays the newest decisions, and what it answers."""

from msgspec import Struct

from authz.history.recent import Recent


class Rehearsal(Struct, frozen=True):
    """What is asked. `state`: the state directory; `active_bytes`: so long is the first archive."""

    state: str
    most: int
    active_bytes: int
    max_bytes: int


class Rehearsed(Struct, frozen=True):
    """What came of it, or why nothing did."""

    recent: Recent | None = None
    trouble: str = ""
