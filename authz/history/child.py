"""The replay of the newest decisions as a process: `python -m authz.history.child`.

On standard input one line of JSON, a Rehearsal, then the archive in force and the next one; on standard output what
came of it, a Rehearsed, as MessagePack. At low priority: decisions go on beside it.
"""

import os
import sys
from pathlib import Path

import msgspec

from authz.bundle import Limits, read_again
from authz.core import AuthzError
from authz.history.recent import replay_recent
from authz.history.rehearsed import Rehearsal, Rehearsed

_NICE = 10


def main() -> None:
    """Replay what comes on standard input."""
    os.nice(_NICE)
    asked = msgspec.json.decode(sys.stdin.buffer.readline(), type=Rehearsal)
    limits = Limits(archive_bytes=asked.max_bytes)
    active = sys.stdin.buffer.read(asked.active_bytes)
    candidate = sys.stdin.buffer.read()
    try:
        bundles = read_again(active, limits), read_again(candidate, limits)
        answer = Rehearsed(replay_recent(Path(asked.state), asked.most, *bundles))
    except AuthzError as error:
        answer = Rehearsed(trouble=f"{error.code}: {error}")
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    main()
