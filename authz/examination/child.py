"""One examination, as a process: `python -m authz.examination.child`.

On standard input one line of JSON with the trust, then the archive; on standard output the verdict as JSON.
"""

import sys

import msgspec

from authz.core import AuthzError
from authz.examination.examination import examine
from authz.examination.trust import Trust
from authz.examination.verdict import Verdict


def main() -> None:
    """Examine what comes on standard input."""
    trust = msgspec.json.decode(sys.stdin.buffer.readline(), type=Trust)
    try:
        verdict = Verdict(examined=examine(sys.stdin.buffer.read(), trust))
    except AuthzError as error:
        verdict = Verdict(reason=error.code, message=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(verdict))


if __name__ == "__main__":
    main()
