"""A signed ledger of a thousand records, and what somebody with its disk can do to it.

Two lives of one stream, a segment of 500 records each; a checkpoint and a roll-up every 100 records. `Scene` keeps what
is elsewhere: the pinned key, the newest checkpoints, a snapshot of the disk after the first life.
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from authz.core import Event
from authz.tlog import Signer

from .ledger import STREAM
from .published import NODE, key_of, publish
from .signed_ledger import NODE_STREAM, accessed, append, roll_up

FIRST, SECOND, THIRD = "000000000001.jsonl", "000000000501.jsonl", "000000001001.jsonl"
EACH = 498
"""Events of a life; with the records that open and close its segment, 500."""

Lines = list[bytes]


class Scene(NamedTuple):
    """`state` is the disk that is attacked; the rest is where the attacker cannot write."""

    state: Path
    public_key: Path
    kept: tuple[Path, ...]
    snapshot: Path

    @property
    def audit(self) -> Path:
        return self.state / "audit"

    @property
    def stream(self) -> Path:
        return self.audit / STREAM

    @property
    def tiles(self) -> Path:
        return self.audit / "tiles"

    def on(self, state: Path) -> "Scene":
        """The same with a copy of the disk at another place, which may be changed."""
        shutil.copytree(self.state, state)
        for path in state.glob("audit/*/*.jsonl"):
            path.chmod(0o600)
        return self._replace(state=state)


def build(directory: Path) -> Scene:
    """Everything in `directory`."""
    state = directory / "state"
    grow(state, 0, 500)
    snapshot = directory / "snapshot"
    shutil.copytree(state, snapshot)
    grow(state, 500, 1000)
    public_key = directory / "pinned.pub"
    public_key.write_bytes((state / "keys" / "audit.pub").read_bytes())
    kept = tuple(directory / f"{stream}.checkpoint" for stream in (STREAM, NODE_STREAM))
    for path in kept:
        path.write_bytes((state / "audit" / "tiles" / path.stem / "checkpoint").read_bytes())
    return Scene(state, public_key, kept, snapshot)


def grow(state: Path, since: int, size: int, events: Callable[[int], Event] = accessed) -> None:
    """A life of the stream from `since` records to `size`, signed every hundred records."""
    append(state / "audit", STREAM, [events(number) for number in range(since, size - 2)])
    for signed in range(since + 100, size + 1, 100):
        publish(state, STREAM, signed)
        roll_up(state, [STREAM])


def edit(path: Path, change: Callable[[Lines], Lines]) -> None:
    """Rewrite a segment's lines, which come without their LFs."""
    lines = change(path.read_bytes().split(b"\n")[:-1])
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def rechained(lines: Lines) -> Lines:
    """The lines with their hashes made to fit, as somebody with an editor and a script would."""
    chained = lines[:1]
    for line in lines[1:]:
        chained.append(line[:9] + hashlib.sha256(chained[-1]).hexdigest().encode() + line[73:])
    return chained


def renumbered(lines: Lines) -> Lines:
    """The lines with their numbers going on by one."""
    first = int(re.findall(rb'"seq":(\d+)', lines[0])[0])
    return [re.sub(rb'"seq":\d+', b'"seq":%d' % seq, line, count=1) for seq, line in enumerate(lines, first)]


def other_subject(line: bytes) -> bytes:
    """The same event about somebody else."""
    return line.replace(b'"subject":"h1:k:s"', b'"subject":"h1:k:x"')


def changed(at: int, change: Callable[[bytes], bytes] = other_subject) -> Callable[[Lines], Lines]:
    """The line with this number, from 1, is another one."""
    return lambda lines: [*lines[: at - 1], change(lines[at - 1]), *lines[at:]]


def without(at: int) -> Callable[[Lines], Lines]:
    """The line with this number, from 1, is not there."""
    return lambda lines: lines[: at - 1] + lines[at:]


def forged(scene: Scene, signer: Signer | None = None) -> None:
    """Another history of a thousand records; signed with the node's key, or with another one, or not at all."""
    shutil.rmtree(scene.stream)
    shutil.rmtree(scene.tiles, ignore_errors=True)
    shutil.rmtree(scene.audit / NODE_STREAM)
    if signer is not None:
        (scene.state / "keys" / "audit.key").write_text(signer.private_text())
        (scene.state / "keys" / "audit.pub").write_text(f"{signer.verifier}\n")
    grow(scene.state, 0, 500, invented)
    grow(scene.state, 500, 1000, invented)


def invented(number: int) -> Event:
    """An event that never happened."""
    return accessed(number, "h1:k:invented")


def rolled_back(scene: Scene) -> None:
    """The whole disk as it was after the first life."""
    shutil.rmtree(scene.state)
    shutil.copytree(scene.snapshot, scene.state)


def bit_flip(scene: Scene) -> None:
    edit(scene.stream / FIRST, changed(250, lambda line: line.replace(b'"h1:k:s"', b'"h1:k:r"')))


def line_edited(scene: Scene) -> None:
    edit(scene.stream / FIRST, changed(250))


def line_deleted(scene: Scene) -> None:
    edit(scene.stream / SECOND, without(250))


def lines_swapped(scene: Scene) -> None:
    edit(scene.stream / FIRST, lambda lines: [*lines[:249], lines[250], lines[249], *lines[251:]])


def line_inserted(scene: Scene) -> None:
    edit(scene.stream / SECOND, lambda lines: [*lines[:249], other_subject(lines[249]), *lines[249:]])


def last_line_flipped(scene: Scene) -> None:
    edit(scene.stream / SECOND, changed(500, lambda line: line.replace(b'"shutdown"', b'"shutdowm"')))


def edited_and_rehashed(scene: Scene) -> None:
    edit(scene.stream / SECOND, lambda lines: rechained(changed(250)(lines)))


def deleted_renumbered_and_rehashed(scene: Scene) -> None:
    edit(scene.stream / SECOND, lambda lines: rechained(renumbered(without(250)(lines))))


def deleted_and_rehashed(scene: Scene) -> None:
    edit(scene.stream / SECOND, lambda lines: rechained(without(250)(lines)))


def tail_cut(scene: Scene) -> None:
    edit(scene.stream / SECOND, lambda lines: lines[:350])


def tail_and_checkpoints_cut(scene: Scene) -> None:
    """The ends of both streams, and every checkpoint newer than record 800."""
    tail_cut(scene)
    edit(scene.stream / SECOND, lambda lines: lines[:300])
    for path in sorted((scene.audit / NODE_STREAM).glob("*.jsonl"))[-2:]:
        path.unlink()
    for stream in (STREAM, NODE_STREAM):
        shutil.rmtree(scene.tiles / stream)
        publish(scene.state, stream)


def replaced_under_old_checkpoints(scene: Scene) -> None:
    aside = scene.state / "aside"
    for path in (scene.tiles, scene.audit / NODE_STREAM):
        shutil.copytree(path, aside / path.name)
    forged(scene)
    for path in (scene.tiles, scene.audit / NODE_STREAM):
        shutil.rmtree(path)
        shutil.move(aside / path.name, path)


def replaced_without_checkpoints(scene: Scene) -> None:
    forged(scene)
    shutil.rmtree(scene.tiles)
    shutil.rmtree(scene.audit / NODE_STREAM)


def replaced_under_another_key(scene: Scene) -> None:
    forged(scene, Signer.generate(NODE))


def forked_with_the_real_key(scene: Scene) -> None:
    rolled_back(scene)
    grow(scene.state, 500, 1000, invented)


def rewritten_with_the_real_key(scene: Scene) -> None:
    forged(scene, key_of(scene.state))


def edited_after_the_newest_checkpoint(scene: Scene) -> None:
    append(scene.audit, STREAM, [accessed(number) for number in range(1000, 1020)])
    (scene.stream / THIRD).chmod(0o600)
    edit(scene.stream / THIRD, lambda lines: rechained(changed(10)(lines)))
