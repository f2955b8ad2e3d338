"""What an auditor would have published for the tests' ledgers, made the plainest way from the records themselves."""

from pathlib import Path

from authz.audit.extent import extents, lines_forward
from authz.tlog import Checkpoint, CompactRange, Signer, leaf_hash, tiles_for

NODE = "ledger.example/node"


def leaves(stream: Path) -> list[bytes]:
    """The leaf hashes of a stream's records, oldest first."""
    return [
        leaf_hash(line[:-1])
        for each in extents(stream)
        for line in lines_forward(each.path, each.counted_bytes)
        if line.endswith(b"\n")
    ]


def key_of(state: Path) -> Signer:
    """The node's signing key; made, with its public half, when there is none."""
    path = state / "keys" / "audit.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        signer = Signer.generate(NODE)
        path.write_text(signer.private_text())
        path.with_suffix(".pub").write_text(f"{signer.verifier}\n")
    return Signer.read(path.read_text().strip())


def publish(state: Path, stream: str, size: int | None = None, hashes: list[bytes] | None = None) -> int:
    """Tiles and a signed checkpoint over the first `size` records, all by default; returns how many that are.

    `hashes`: the leaves, where records are no longer there.
    """
    found = leaves(state / "audit" / stream) if hashes is None else hashes
    found = found[:size]
    directory = state / "audit" / "tiles" / stream
    for tile in tiles_for(len(found)):
        path = directory / str(tile)
        path.parent.mkdir(parents=True, exist_ok=True)
        level = tile.level or 0
        width = 256**level
        first = tile.index * 256
        path.write_bytes(
            b"".join(_root(found[at * width : (at + 1) * width]) for at in range(first, first + tile.width))
        )
    signer = key_of(state).named(f"{NODE}/{stream}")
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(signer.name, len(found), _root(found))
    (directory / "checkpoint").write_bytes(signer.sign(checkpoint.text()))
    return len(found)


def _root(hashes: list[bytes]) -> bytes:
    tree = CompactRange()
    tree.extend(hashes)
    return tree.root()
