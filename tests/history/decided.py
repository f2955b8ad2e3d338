"""A ledger of real decisions of the shipped policy: questions of all kinds, asked of a whole house."""

import asyncio
import random
from pathlib import Path
from typing import Any, NamedTuple

from authz.bundle import read
from authz.core import AccessRequest, Action, BearerToken, Caller, Entity, Policy, Subject
from authz.history import Replay, Replaying, reads_of, replay, routes_known
from authz.policy import bundle_of, opened
from tests.fakes import House, pseudonym
from tests.policy.conftest import ROOT

SHIPPED = str(ROOT / "bundles" / "default.tar.gz")
EDGE = Caller("edge", trusted_to_assert=True)
SILENT = Caller("shadow", observes=True)
PEOPLE = [f"person{number}" for number in range(12)]
ROLES = ("user_basic", "user_premium", "caregiver_basic", "caregiver_advanced", "admin_readonly", "nobody_knows_me")
PATHS = (
    "/users/{}/profile", "/users/{}/settings", "/memory", "/memory/{}", "/memory/search", "/calendar/events/{}",
    "/photos",    "/ai/chat", "/ai/voice", "/health", "/nowhere/{}", "/admin/audit", "/users/{}/wardrobe",
)  # fmt: skip


def _subject(chance: random.Random) -> Subject:
    name = chance.choice(PEOPLE)
    claims: dict[str, Any] = {"acr": chance.choice(("silver", "gold"))} if chance.random() < 0.5 else {}
    if chance.random() < 0.3:
        claims["amr"] = ["pwd", "mfa"]
    return Subject(
        type="user",
        id=name,
        source="token",
        pseudonym=pseudonym(name),
        roles=tuple(chance.sample(ROLES, chance.randrange(3))),
        scopes=chance.choice((None, None, ("openid",), ("memory:read", "photos:read"), ())),
        issuer="https://id.example",
        properties={"claims": claims} if claims else {},
    )


class Asked(NamedTuple):
    """Questions, and whom each token is of."""

    tokens: dict[str, Subject]
    requests: list[AccessRequest]


def asked(count: int) -> Asked:
    """Questions of all kinds that a gateway asks: of tokens good and bad, on paths known and unknown, and on scopes."""
    chance = random.Random(7)
    tokens = {f"t{number}": _subject(chance) for number in range(150)}
    requests = []
    for number in range(count):
        path = chance.choice(PATHS).format(chance.choice(PEOPLE))
        scope = chance.random() < 0.1
        requests.append(
            AccessRequest(
                caller=SILENT if number % 9 == 0 else EDGE,
                dialect="envoy",
                action=Action("use" if scope else chance.choice(("GET", "GET", "POST", "PUT", "DELETE", "HEAD"))),
                resource=Entity("scope", chance.choice(("memory:read", "ai:chat"))) if scope else Entity("route", path),
                token=BearerToken(chance.choice([*tokens, "bad", "worse"])),
                ip=chance.choice(("10.1.2.3", "192.0.2.9")),
                request_id=f"r{number}",
            )
        )
    return Asked(tokens, requests)


def decide(policy: Policy, questions: Asked) -> House:
    """A house in which all of it was decided, in batches and one by one."""
    house = House(policy, questions.tokens)  # type: ignore[arg-type]  # a real policy

    async def all_of_them() -> None:
        for number in range(0, len(questions.requests), 50):
            if number % 100:
                await house.decisions.decide_all(questions.requests[number : number + 50])
                continue
            for request in questions.requests[number : number + 50]:
                await house.decisions.decide(request)

    asyncio.run(all_of_them())
    return house


def replayed(state: Path, candidate: str) -> Replay:
    """The replay of a ledger under a candidate."""
    bundle = bundle_of(candidate)
    known = routes_known(state, bundle, read(Path(SHIPPED)))
    return replay(Replaying(opened(candidate).policy, reads_of(bundle), known), state)
