"""What an examination in another process says at its end."""

from msgspec import Struct

from authz.examination.examination import Examined


class Verdict(Struct, frozen=True):
    """Either what was examined, or the code and the message of the error that refused it."""

    examined: Examined | None = None
    reason: str = ""
    message: str = ""
