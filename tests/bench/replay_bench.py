"""What replaying a ledger costs, beside bare reads of the same segments: `python -m tests.bench.replay_bench`.

    python -m tests.bench.replay_bench [--events N] [--candidate BUNDLE] [DIRECTORY]

Beside it, of the same files in the page cache: their bytes taken a mebibyte at a time; taken line by line; read and
split into a list of lines; each line hashed once, which is the least that any check of a chain does; and verifying
alone. Each figure is the best of three, taken in turns, in CPU time: all of it is one thread that waits for nothing.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from authz.audit import LedgerWriter, verify
from authz.core import DecisionBody, Event
from authz.history import Replay, Replaying, reads_of, replay, routes_known
from authz.identity import Pseudonymiser
from authz.policy.opened import bundle_of, opened

from .index_bench import STREAM, event
from .ledger_bench import SystemClock
from .verification import hash_once, sign

ROUNDS = 3
_PSEUDONYMS = Pseudonymiser(b"k" * 32)


def _event(number: int, chance: random.Random) -> Event:
    """A decision as that of the index's benchmark, with pseudonyms as they are; a tenth asks for what is its own."""
    made = event(number, chance)
    body = made.body
    if not isinstance(body, DecisionBody):
        raise TypeError("the benchmark's events are decisions")
    subject = _PSEUDONYMS.pseudonym(body.subject or "")
    other = subject if number % 10 == 3 else _PSEUDONYMS.pseudonym(body.params["id"])
    return Event(made.id, made.type, replace(body, subject=subject, params={"id": other}))


async def _fill(state: Path, count: int) -> None:
    chance = random.Random(1)
    ledger = LedgerWriter(state / "audit", STREAM, clock=SystemClock())
    await ledger.open()
    for first in range(0, count, 1000):
        await ledger.record_all([_event(number, chance) for number in range(first, min(first + 1000, count))])
    await ledger.close()


def _cached(stream: Path) -> None:
    for path in sorted(stream.glob("*.jsonl")):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def _split(stream: Path) -> None:
    for path in sorted(stream.glob("*.jsonl")):
        path.read_bytes().splitlines()


def _bare(stream: Path) -> None:
    for path in sorted(stream.glob("*.jsonl")):
        with path.open("rb", buffering=1 << 20) as file:
            for _ in file:
                pass


def _replayed(state: Path, candidate: str) -> Replay:
    bundle = bundle_of(candidate)
    return replay(Replaying(opened(candidate).policy, reads_of(bundle), routes_known(state, bundle)), state)


def main() -> None:
    """Print JSON, then a sentence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--candidate", default=str(Path(__file__).parents[2] / "bundles" / "default.tar.gz"))
    parser.add_argument("directory", nargs="?", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        state = options.directory or Path(room)
        if not (state / "audit").exists():
            asyncio.run(_fill(state, options.events))
            sign(state / "audit", STREAM)
        _measure(state, options.candidate)


def _measure(state: Path, candidate: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: list[Replay] = []
    works: dict[str, Callable[[], object]] = {
        "cached": lambda: _cached(state / "audit" / STREAM),
        "bare": lambda: _bare(state / "audit" / STREAM),
        "split": lambda: _split(state / "audit" / STREAM),
        "hashed": lambda: hash_once(state / "audit" / STREAM),
        "verified": lambda: verify(state, parse=False),
        "replayed": lambda: found.append(_replayed(state, candidate)),
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - start)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    figures = {
        **{f"{name}_s": seconds for name, seconds in best.items()},
        "decisions": found[0].decisions,
        "profiles": found[0].profiles,
        **{f"replayed_over_{name}": best["replayed"] / best[name] for name in works if name != "replayed"},
        "more_memory_mb": more,
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    times = (
        "{replayed_over_split:.1f} times reading and splitting, {replayed_over_verified:.1f} times verifying".format(
            **figures
        )
    )
    sys.stdout.write(f"{found[0].decisions} decisions of {found[0].profiles} profiles replayed in {times}\n")


if __name__ == "__main__":
    main()
