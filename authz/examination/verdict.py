"""What an examination in another process says at its end."""

from msgspec import Struct

from authz.examination.examination import Examined


class Verdict(Struct, frozen=True):
    """Either what was examined, or the code and the message of the error that refused it.

    `compiled`: what the engine need not work out again to load it.
    """

    examined: Examined | None = None
    compiled: bytes = b""
    reason: str = ""
    message: str = ""
