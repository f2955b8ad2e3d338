"""One examination, as a process: `python -m authz.examination.child`.

On standard input one line of JSON with the trust, then the archive; on standard output the verdict as MessagePack,
which holds bytes as they are. At low priority: decisions come first.
"""

import os
import sys
from contextlib import suppress
from typing import Final

import msgspec

from authz.core import AuthzError
from authz.examination.examination import examine_and_compile
from authz.examination.trust import Trust
from authz.examination.verdict import Verdict

_NICENESS: Final = 5


def main() -> None:
    """Examine what comes on standard input."""
    with suppress(OSError):
        os.nice(_NICENESS)
    trust = msgspec.json.decode(sys.stdin.buffer.readline(), type=Trust)
    try:
        examined, compiled = examine_and_compile(sys.stdin.buffer.read(), trust)
        verdict = Verdict(examined, compiled)
    except AuthzError as error:
        verdict = Verdict(reason=error.code, message=str(error))
    sys.stdout.buffer.write(msgspec.msgpack.encode(verdict))


if __name__ == "__main__":
    main()
