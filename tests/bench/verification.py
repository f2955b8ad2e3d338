"""What verifying a ledger costs, beside a loop that does nothing but hash the same lines once."""

import hashlib
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from authz.audit import verify
from authz.audit.extent import extents, line_blocks
from authz.tlog import Checkpoint, Signer, TiledTree, leaf_hashes

NODE = "bench.example/node"
ROUNDS = 3
"""Each figure is the best of so many, taken in turns, in CPU time: all of it is one thread that waits for nothing."""


def sign(audit: Path, stream: str) -> None:
    """All tiles and the checkpoint of a stream, as the auditor writes them, and the key beside them."""
    directory = audit / "tiles" / stream
    tree = TiledTree()
    for leaves in _leaves(audit / stream):
        for tile, content in tree.extend(leaves).items():
            if tile == tile.full:
                _write(directory / str(tile), content)
    key = Signer.generate(NODE)
    name = f"{NODE}/{stream}"
    _write(directory / "checkpoint", key.named(name).sign(Checkpoint(name, tree.size, tree.root()).text()))
    _write(audit / "audit.pub", f"{key.vkey}\n".encode())


def _leaves(stream: Path) -> Iterator[list[bytes]]:
    for extent in extents(stream):
        for lines, _ in line_blocks(extent.path, extent.counted_bytes):
            yield leaf_hashes(lines)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def hash_once(stream: Path) -> None:
    """What is measured against: every line hashed, and nothing else."""
    for path in sorted(stream.glob("*.jsonl")):
        with path.open("rb", buffering=1 << 20) as file:
            for line in file:
                hashlib.sha256(line).digest()


def _best(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - start)
    return best


def measure_verification(audit: Path, stream: str) -> dict[str, float]:
    """Seconds of CPU time, and how many times the bare loop they are, of a signed ledger with this one stream."""
    checked = verify(audit)
    [report] = checked.streams
    if not checked.intact or report.covered_seq != report.last_seq:
        sys.exit(f"the benchmark's own ledger is not covered by its checkpoint: {checked}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best = _best(
        {
            "bare_sha256": lambda: hash_once(audit / stream),
            "chain_and_tree": lambda: verify(audit, parse=False),
            "chain_tree_and_parsing": lambda: verify(audit),
        }
    )
    bare = best["bare_sha256"]
    return {
        "records": report.records,
        "megabytes": report.size_bytes / 1e6,
        **{f"{name}_s": seconds for name, seconds in best.items()},
        **{f"{name}_over_bare": seconds / bare for name, seconds in best.items() if name != "bare_sha256"},
        "more_memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }
