"""The memory of verified tokens: the same answers, for exactly as long as they hold."""

import json
from pathlib import Path

import msgspec

from authz.core import TokenRefusal
from authz.identity import IssuerSettings, Verifier
from tests.identity.conftest import FakeClock, Forge, Start, jwk, reason, verify


def counts(verifier: Verifier) -> tuple[int, int]:
    return verifier.hits, verifier.misses


async def test_a_hit_equals_a_miss(verifier: Verifier, forge: Forge) -> None:
    """A remembered token gives the very subject that its verification gave, and is counted."""
    token = forge.token(scope="memory:read", sid="s1")
    first = await verify(verifier, token)
    assert (await verify(verifier, token), counts(verifier)) == (first, (1, 1))


async def test_a_token_is_remembered_until_its_leeway_ends(verifier: Verifier, forge: Forge, clock: FakeClock) -> None:
    """Valid while now < exp + leeway, remembered or not, to the second."""
    token = forge.token()
    assert await reason(verifier, token) == "ok"
    clock.advance(300 + 29.999)
    assert (await reason(verifier, token), counts(verifier)) == ("ok", (1, 1))
    clock.advance(0.001)
    assert (await reason(verifier, token), counts(verifier)) == ("token_expired", (1, 2))


async def test_refused_tokens_are_not_remembered(verifier: Verifier, forge: Forge, clock: FakeClock) -> None:
    """A token that is not valid yet is judged afresh, and counts when its time has come."""
    token = forge.token(nbf=int(clock.now()) + 40)
    assert await reason(verifier, token) == "token_not_yet_valid"
    clock.advance(10)
    assert (await reason(verifier, token), counts(verifier)) == ("ok", (0, 2))


async def test_every_part_of_the_token_counts(verifier: Verifier, forge: Forge) -> None:
    """A remembered token does not stand in for one with another signature."""
    token = forge.token()
    await verify(verifier, token)
    body, _, _ = token.rpartition(".")
    assert await reason(verifier, f"{body}.{forge.token(sub='bob').rpartition('.')[2]}") == "token_signature"


async def test_a_change_of_keys_voids_what_they_verified(
    start: Start, settings: IssuerSettings, forge: Forge, tmp_path: Path
) -> None:
    """When an issuer's keys change its remembered tokens are verified again; other issuers' are not."""
    file = tmp_path / "second.json"
    file.write_text(json.dumps({"keys": [jwk(forge.ec, kid="ec")]}))
    second = msgspec.structs.replace(settings, issuer="https://second.example", keys=str(file))
    verifier = await start(settings, second)
    ours = forge.token()
    theirs = forge.token(iss=second.issuer, header={"kid": "ec"}, key=forge.ec, algorithm="ES256")
    assert [await reason(verifier, token) for token in (ours, theirs)] == ["ok", "ok"]

    file.write_text(json.dumps({"keys": [jwk(forge.other_rsa, kid="new")]}))
    # The first may be one that is under way and has read the old file; the next one reads the new.
    for _ in range(2):
        await verifier._issuers[second.issuer].keys.refresh()

    assert [await reason(verifier, token) for token in (ours, theirs)] == ["ok", "token_signature"]
    assert counts(verifier) == (1, 3)


async def test_a_refresh_without_a_change_voids_nothing(
    verifier: Verifier, settings: IssuerSettings, forge: Forge
) -> None:
    """The same keys in another order or layout are the same keys."""
    token = forge.token()
    await verify(verifier, token)
    document = forge.document()
    Path(settings.keys).write_text(json.dumps({"keys": document["keys"][::-1], "more": 1}, indent=2))
    await verifier._issuers[settings.issuer].keys.refresh()
    assert (await reason(verifier, token), counts(verifier)) == ("ok", (1, 1))


async def test_the_memory_is_bounded_and_the_oldest_gives_way(
    start: Start, settings: IssuerSettings, forge: Forge
) -> None:
    """With room for three, a fourth token pushes out the first and only the first."""
    verifier = await start(settings, remembered_tokens=3)
    tokens = [forge.token(sub=name) for name in "abcd"]
    for token in tokens:
        await verify(verifier, token)
    assert counts(verifier) == (0, 4)
    for token in (tokens[1], tokens[3], tokens[0]):
        await verify(verifier, token)
    assert (counts(verifier), len(verifier._verified)) == ((2, 5), 3)


async def test_a_void_entry_is_replaced_not_doubled(start: Start, settings: IssuerSettings, forge: Forge) -> None:
    """A token met again after a change of keys takes its own place in the memory."""
    verifier = await start(settings, remembered_tokens=1)
    token = forge.token()
    await verify(verifier, token)
    verifier._issuers[settings.issuer].keys.generation += 1
    await verify(verifier, token)
    assert (await reason(verifier, token), counts(verifier), len(verifier._verified)) == ("ok", (1, 2), 1)


async def test_an_algorithm_that_is_not_allowed_needs_no_keys(
    start: Start, settings: IssuerSettings, forge: Forge
) -> None:
    """A token with another algorithm is refused for that, whether or not keys are there: nobody fetches for it."""
    verifier = await start(msgspec.structs.replace(settings, keys="/nonexistent/keys.json"))
    assert await reason(verifier, forge.token(algorithm="RS512")) == "token_signature"


async def test_an_unreadable_key_file_is_undecided(start: Start, settings: IssuerSettings, forge: Forge) -> None:
    """Keys that were never there are `keys_unavailable`: nobody can say that the token is bad."""
    verifier = await start(msgspec.structs.replace(settings, keys="/nonexistent/keys.json"))
    verdict = await verify(verifier, forge.token())
    assert isinstance(verdict, TokenRefusal)
    assert verdict.reason == "keys_unavailable"
    assert [(row.keys, row.age_seconds, row.error) for row in verifier.status()] == [
        (0, None, "the file of keys cannot be read: FileNotFoundError")
    ]
