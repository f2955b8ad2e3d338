"""The limiter alone: what a hit costs, how much a budget takes, and how long the loop is held up, at a million keys.

Processor time, not the clock on the wall: what else the machine does is no part of it.
"""

import gc
import os
import sys
from time import monotonic_ns, thread_time_ns
from typing import Any

from authz.core import AccessRequest, Action, Caller, Entity, Limit, Subject
from authz.limits import Budgets, LocalLimiter, Retries
from authz.limits.budgets import spending

KEYS = int(os.environ.get("AUTHZ_BENCH_KEYS", "1000000"))
HITS = 2_000
ROUNDS = 400
LIMIT = Limit("ai:chat", 60, 60, 10)
SECOND = 1_000_000_000


def run() -> dict[str, Any]:
    """Measure, print, and return what was measured."""
    budgets, interval, tolerance = Budgets(KEYS), *spending(0, LIMIT)[1:]
    gc.collect()
    before, longest, inserting = resident_bytes(), 0, 0
    for n in range(KEYS):
        key = _key(n)
        started = thread_time_ns()
        budgets.spend_one(key, interval, tolerance, SECOND)
        took = thread_time_ns() - started
        longest, inserting = max(longest, took), inserting + took
    found = {
        "keys": KEYS,
        "bytes_per_key": round((resident_bytes() - before) / KEYS),
        "new_key_ns": round(inserting / KEYS),
        "longest_new_key_us": round(longest / 1000),
    }
    assert (len(budgets), budgets.forgotten) == (KEYS, 0)
    found |= {"hit_ns": round(hit_ns(budgets)), "decision_ns": round(decision_ns(budgets))}
    print(f"limits: {found}")
    return found


def _key(number: int) -> int:
    return hash(("https://idp.test", "user", f"user-{number}"))


def hit_ns(budgets: Budgets) -> float:
    """One use of one of many budgets, in no order that a cache likes; the best of several rounds."""
    _, interval, tolerance = spending(0, LIMIT)
    rounds = []
    for number in range(ROUNDS):
        keys = [_key(n * 7919 % KEYS) for n in range(number * HITS, (number + 1) * HITS)]
        started = thread_time_ns()
        for key in keys:
            budgets.spend_one(key, interval, tolerance, 2 * SECOND)
        rounds.append((thread_time_ns() - started) / HITS)
    return min(rounds)


def decision_ns(budgets: Budgets) -> float:
    """All that the limiter does for one decision under one limit, from its subject on."""
    limiter = LocalLimiter(budgets, Retries(SECOND), monotonic_ns, None)
    request = AccessRequest(
        caller=Caller("gateway"), dialect="nginx", action=Action("POST"), resource=Entity("route", "/ai/chat")
    )
    subject = Subject(type="user", id="user-1", source="token", pseudonym=None, issuer="https://idp.test")
    rounds = []
    for _ in range(ROUNDS):
        started = thread_time_ns()
        for _ in range(HITS):
            limiter.spend_now(request, subject, (LIMIT,), None)
        rounds.append((thread_time_ns() - started) / (HITS))
    return min(rounds)


def resident_bytes() -> int:
    """What this process has in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - not a file on a disk
        return int(file.read().split()[1]) * 4096


if __name__ == "__main__":
    run()
    sys.exit(0)
