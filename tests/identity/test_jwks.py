"""Keys from an issuer: fresh, shared, bounded, and there when the issuer is not."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from structlog.testing import LogCapture

from authz.core import Clock
from authz.identity import IssuerSettings, Verifier
from authz.identity.jose import Refused
from authz.identity.jwks import KeyCache, KeyStatus, Timing
from authz.identity.kept import KeptKeys
from authz.identity.keys import KeysUnavailableError
from authz.identity.sources import KeyUrl, lifetime, open_session
from tests.identity.conftest import ISSUER, FakeClock, Forge, IdentityProvider, RealClock, Start, jwk, reason, until

Make = Callable[..., KeyCache]
USUAL = Timing()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


@pytest.fixture
async def make(
    provider: IdentityProvider, clock: FakeClock, tmp_path: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Make]:
    """Makes key caches of the provider, without a task of their own unless started, and closes them."""
    made: list[KeyCache] = []

    def cache(timing: Timing = USUAL, clock_: Clock = clock, timeout_seconds: float = 5.0) -> KeyCache:
        settings = IssuerSettings(issuer=ISSUER, audiences=("orders",), algorithms=("RS256",), keys=provider.url)
        kept = KeptKeys(tmp_path / "jwks", ISSUER, provider.url)
        made.append(KeyCache(settings, KeyUrl(provider.url, session, timeout_seconds), clock_, kept, timing))
        return made[-1]

    yield cache
    for each in made:
        await each.close()


async def outcome(cache: KeyCache, kid: str | None = "rsa") -> str:
    """The reason why there is no key, `ok` when there is one."""
    try:
        await cache.find(kid, "RS256")
    except Refused as refused:
        return refused.reason
    return "ok"


async def test_keys_are_fetched_when_started(provider: IdentityProvider, make: Make, forge: Forge) -> None:
    """A started cache has the issuer's keys without any request asking, and says how old they are."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    await cache.start()
    await until(lambda: cache.status().keys == 1)
    assert cache.status() == KeyStatus(ISSUER, 1, 0.0, None)


async def test_rotation_needs_no_restart(
    provider: IdentityProvider, make: Make, forge: Forge, clock: FakeClock
) -> None:
    """A token with a new kid makes the cache ask, at most every 5 s; the old key stops counting with that answer."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    assert await outcome(cache) == "ok"
    provider.publish(jwk(forge.other_rsa, kid="new"))
    assert (await outcome(cache, "new"), provider.fetches) == ("token_signature", 1)
    clock.advance(5)
    assert (await outcome(cache, "new"), provider.fetches) == ("ok", 2)
    assert (await outcome(cache, "rsa"), cache.generation) == ("token_signature", 2)


async def test_a_new_kid_during_the_pause_is_asked_for_when_it_ends(
    provider: IdentityProvider, make: Make, forge: Forge
) -> None:
    """A kid met too soon after a refresh is refused, but the running cache asks for it as soon as it may."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make(Timing(between_demands=0.2), clock_=RealClock())
    await cache.start()
    assert await outcome(cache) == "ok"
    provider.publish(jwk(forge.rsa, kid="rsa"), jwk(forge.other_rsa, kid="new"))
    assert await outcome(cache, "new") == "token_signature"
    await until(lambda: cache.status().keys == 2)
    assert (await outcome(cache, "new"), provider.fetches) == ("ok", 2)


async def test_a_flood_of_unknown_kids_is_a_bounded_number_of_fetches(
    provider: IdentityProvider, make: Make, forge: Forge, clock: FakeClock
) -> None:
    """One fetch per 5 s, however many kids are made up; good tokens do not notice, and memory stays bounded."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make(Timing(unknown_kids=10))
    assert await outcome(cache) == "ok"
    for second in range(11):
        found = await asyncio.gather(*(outcome(cache, f"made-up-{second}-{n}") for n in range(50)), outcome(cache))
        assert found == ["token_signature"] * 50 + ["ok"]
        clock.advance(1)
    assert provider.fetches == 3
    assert len(cache._unknown) <= 10


async def test_a_retired_kid_does_not_keep_asking(
    provider: IdentityProvider, make: Make, forge: Forge, clock: FakeClock
) -> None:
    """A kid that the issuer did not have is not asked for again for 30 s."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    await outcome(cache)
    clock.advance(5)
    fetches = []
    for _ in range(7):
        assert await outcome(cache, "retired") == "token_signature"
        fetches.append(provider.fetches)
        clock.advance(6)
    assert fetches == [2, 2, 2, 2, 2, 3, 3]


async def test_concurrent_requests_share_one_fetch(provider: IdentityProvider, make: Make, forge: Forge) -> None:
    """A hundred requests on a cold cache are one fetch."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    provider.answering.clear()
    cache = make()
    waiting = [asyncio.create_task(outcome(cache)) for _ in range(100)]
    await until(lambda: provider.fetches == 1)
    provider.answering.set()
    assert (await asyncio.gather(*waiting), provider.fetches) == (["ok"] * 100, 1)


async def test_a_hanging_endpoint_stalls_nobody(provider: IdentityProvider, make: Make, forge: Forge) -> None:
    """While the endpoint hangs, the loop keeps ticking and a request waits no longer than its bound."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    provider.answering.clear()
    cache = make(Timing(request_wait=0.2), clock_=RealClock())
    await cache.start()
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            gaps.append(time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    begun = time.perf_counter()
    assert await asyncio.gather(*(outcome(cache) for _ in range(20))) == ["keys_unavailable"] * 20
    waited = time.perf_counter() - begun
    ticking.cancel()
    assert 0.19 < waited < 2
    assert max(gaps) < 0.5
    assert provider.fetches == 1


async def test_only_so_many_requests_wait(provider: IdentityProvider, make: Make) -> None:
    """Past the bound a request is answered at once: a hanging endpoint cannot pile up requests."""
    provider.answering.clear()
    cache = make(Timing(waiting_requests=3, request_wait=30))
    waiting = [asyncio.create_task(outcome(cache)) for _ in range(3)]
    await until(lambda: provider.fetches == 1)
    async with asyncio.timeout(1):
        assert await outcome(cache) == "keys_unavailable"
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


async def test_the_last_keys_serve_while_the_issuer_is_down(
    provider: IdentityProvider, make: Make, forge: Forge, clock: FakeClock, logged: LogCapture
) -> None:
    """For 24 hours after the last answer keys stay, with their age and the error shown; then nothing is known."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    assert await outcome(cache) == "ok"
    provider.status = 503
    clock.advance(24 * 3600)
    await cache.refresh()
    assert await outcome(cache) == "ok"
    assert cache.status() == KeyStatus(ISSUER, 1, 24 * 3600.0, "the endpoint answered 503")
    clock.advance(1)
    assert (await outcome(cache), cache.generation) == ("keys_unavailable", 2)
    assert cache.status() == KeyStatus(ISSUER, 0, None, "the endpoint answered 503")
    assert [entry["event"] for entry in logged.entries] == ["jwks_refreshed", "jwks_refresh_failed", "jwks_expired"]


async def test_an_unknown_kid_while_the_issuer_is_down_is_not_our_failure(
    provider: IdentityProvider, make: Make, forge: Forge, clock: FakeClock
) -> None:
    """With keys at hand a made-up kid is `token_signature`: strangers cannot make the service look unavailable."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    await outcome(cache)
    provider.status = 500
    clock.advance(5)
    assert (await outcome(cache, "made-up"), provider.fetches) == ("token_signature", 2)


async def test_keys_come_back_by_themselves(provider: IdentityProvider, make: Make, forge: Forge) -> None:
    """A running cache retries with growing pauses until the issuer answers again."""
    provider.status = 503
    cache = make(Timing(first_retry=0.02, longest_retry=0.05), clock_=RealClock())
    await cache.start()
    await until(lambda: provider.fetches >= 3)
    provider.status = 200
    provider.publish(jwk(forge.rsa, kid="rsa"))
    await until(lambda: cache.status().keys == 1)
    assert cache.status().error is None


async def test_pauses_grow_to_a_minute(provider: IdentityProvider, make: Make, clock: FakeClock) -> None:
    """After each failure in a row the next try is twice as far away, a minute at most."""
    provider.status = 503
    cache = make()
    pauses = []
    for _ in range(8):
        await cache.refresh()
        pauses.append(cache._due - clock.elapsed())
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"x" * (256 * 1024 + 1), 200, "the JWK Set is over 262144 bytes"),
        (b"<html>", 200, "the document is not a JWK Set"),
        (b"[" * 5000, 200, "the document is not a JWK Set"),
        (b'{"keys": "none"}', 200, "the document is not a JWK Set"),
        (b'{"keys": [1]}', 200, "the document is not a JWK Set"),
        (b'{"keys": []}', 200, "the JWK Set holds no usable key"),
        (json.dumps({"keys": [{"kty": "RSA"}] * 101}).encode(), 200, "the JWK Set has over 100 keys"),
        (b"", 204, "the endpoint answered 204"),
        (b"", 404, "the endpoint answered 404"),
    ],
)
async def test_what_is_no_jwk_set_changes_nothing(
    body: bytes, status: int, error: str, provider: IdentityProvider, make: Make, forge: Forge
) -> None:
    """Oversize, garbage, empty sets and errors leave the last good keys; the error says what it was."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    await outcome(cache)
    provider.body, provider.status = body, status
    await cache.refresh()
    assert (cache.status(), await outcome(cache)) == (KeyStatus(ISSUER, 1, 0.0, error), "ok")


async def test_reading_stops_at_the_cap(provider: IdentityProvider, session: aiohttp.ClientSession) -> None:
    """An endless answer is left as soon as it is too long, not when it ends."""
    provider.body = b" " * 20_000_000
    with pytest.raises(KeysUnavailableError, match=r"^the JWK Set is over 262144 bytes$"):
        await KeyUrl(provider.url, session).load()


async def test_redirects_are_not_followed(provider: IdentityProvider, make: Make, forge: Forge) -> None:
    """The operator named the endpoint that is trusted; it cannot name another."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    provider.status, provider.headers = 302, {"Location": provider.url.replace("/jwks", "/elsewhere")}
    cache = make()
    await cache.refresh()
    assert (cache.status().error, provider.fetches) == ("the endpoint answered 302", 1)


async def test_compressed_answers_are_not_unpacked(provider: IdentityProvider, make: Make) -> None:
    """A small body that unpacks to a huge one is only a body that is no JWK Set."""
    import gzip

    provider.body = gzip.compress(b" " * 50_000_000)
    provider.headers = {"Content-Encoding": "gzip"}
    cache = make()
    await cache.refresh()
    assert cache.status().error == "the document is not a JWK Set"


async def test_an_endpoint_that_is_too_slow_is_an_error(provider: IdentityProvider, make: Make) -> None:
    """A fetch has an end of its own, whether or not anybody waits for it."""
    provider.answering.clear()
    cache = make(timeout_seconds=0.1)
    await cache.refresh()
    assert cache.status().error == "the endpoint cannot be read: TimeoutError"


async def test_an_endpoint_that_refuses_connections_is_an_error(
    provider: IdentityProvider, make: Make, unused_tcp_port: int
) -> None:
    """Nobody listening is an error like any other."""
    provider.url = f"http://127.0.0.1:{unused_tcp_port}/jwks"
    cache = make()
    await cache.refresh()
    assert cache.status().error == "the endpoint cannot be read: ClientConnectorError"


async def test_nobody_joins_a_refresh_that_has_ended(provider: IdentityProvider, make: Make, forge: Forge) -> None:
    """In the very turn of the event loop in which a refresh ends, the next one asks the issuer anew."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    ended = cache.refresh()
    while not ended.done():
        await asyncio.sleep(0)
    await cache.refresh()
    assert (cache.status(), provider.fetches) == (KeyStatus(ISSUER, 1, 0.0, None), 2)


async def test_an_unforeseen_error_does_not_end_refreshing(
    provider: IdentityProvider, make: Make, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an error that nobody thought of is a failed refresh that is tried again."""
    cache = make(Timing(first_retry=0.01), clock_=RealClock())

    async def broken() -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(cache._source, "load", broken)
        await cache.start()
        await until(lambda: cache.status().error == "unforeseen: ZeroDivisionError")
    provider.publish(jwk(forge.rsa, kid="rsa"))
    await until(lambda: cache.status().keys == 1)


async def test_a_restart_during_an_outage_uses_the_kept_keys(
    provider: IdentityProvider, make: Make, forge: Forge, clock: FakeClock
) -> None:
    """The last good keys are on disk with their age; a restart works with them, up to the same 24 hours."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    first = make()
    await first.start()
    await until(lambda: first.status().keys == 1 and first._refreshing is None)
    await first.close()

    provider.status = 503
    clock.advance(3600)
    second = make()
    await second.start()
    assert second.status() == KeyStatus(ISSUER, 1, 3600.0, None)
    assert await outcome(second) == "ok"

    clock.advance(23 * 3600 + 1)
    third = make()
    await third.start()
    assert third.status() == KeyStatus(ISSUER, 0, None, None)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-5],
        lambda text: "{}",
        lambda text: text.replace(ISSUER, "https://other.example"),
        lambda text: text.replace("127.0.0.1", "127.0.0.2"),
        lambda text: text.replace("keys", "kyes"),
    ],
    ids=["empty", "cut", "another shape", "another issuer", "another source", "no JWK Set"],
)
async def test_damaged_or_foreign_kept_keys_are_not_used(
    damage: Callable[[str], str], provider: IdentityProvider, make: Make, forge: Forge, tmp_path: Path
) -> None:
    """What is on disk counts only whole, and only for the issuer and the source it came from."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    await make().refresh()
    (file,) = (tmp_path / "jwks").iterdir()
    file.write_text(damage(file.read_text()))
    provider.status = 503
    cache = make()
    await cache.start()
    assert cache.status().keys == 0


async def test_keys_that_cannot_be_kept_still_serve(
    provider: IdentityProvider, make: Make, forge: Forge, tmp_path: Path, logged: LogCapture
) -> None:
    """A full or read-only disk costs the restart, not the service."""
    (tmp_path / "jwks").write_text("in the way")
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    assert await outcome(cache) == "ok"
    await until(lambda: cache._refreshing is None)
    assert [entry["event"] for entry in logged.entries] == ["jwks_refreshed", "jwks_not_kept"]


async def test_kept_keys_are_private_and_whole(
    provider: IdentityProvider, make: Make, forge: Forge, tmp_path: Path
) -> None:
    """One file, 0600, in a directory of 0700, and no drafts left."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    cache = make()
    await cache.refresh()
    files = list((tmp_path / "jwks").iterdir())
    assert [oct(path.stat().st_mode & 0o777) for path in [tmp_path / "jwks", *files]] == ["0o700", "0o600"]


async def test_close_leaves_nothing_under_way(provider: IdentityProvider, make: Make) -> None:
    """Closing in the middle of a fetch cancels it and ends the task."""
    provider.answering.clear()
    cache = make()
    await cache.start()
    await until(lambda: provider.fetches == 1)
    await cache.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("jwks")]


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("", "", 600),
        ("public", "", 600),
        ("max-age=300", "", 300),
        ("public, Max-Age=300, must-revalidate", "100", 200),
        ('max-age="300"', "nonsense", 300),
        ("max-age=5", "", 60),
        ("max-age=300", "900", 60),
        ("max-age=604800", "", 3600),
        ("max-age=604800, no-store", "", 60),
        ("no-cache", "", 60),
        ("s-maxage=300", "", 600),
        ("max-age=٣٠٠", "", 600),
        ("max-age=" + "9" * 5000, "", 3600),
    ],
)
def test_the_issuer_says_how_long_keys_are_fresh_within_bounds(cache_control: str, age: str, seconds: float) -> None:
    """Cache-Control and Age are honoured between a minute and an hour; ten minutes when they say nothing."""
    assert lifetime(cache_control, age) == seconds


async def test_keys_are_asked_for_again_at_half_their_life(
    provider: IdentityProvider, make: Make, forge: Forge, clock: FakeClock
) -> None:
    """Half of max-age after an answer, the next question is due."""
    provider.publish(jwk(forge.rsa, kid="rsa"))
    provider.headers = {"Cache-Control": "max-age=900"}
    cache = make()
    await cache.refresh()
    assert cache._due - clock.elapsed() == 450


async def test_a_changed_file_is_noticed(
    start: Start, settings: IssuerSettings, forge: Forge, clock: FakeClock
) -> None:
    """A file of keys is read again every few seconds; a broken one changes nothing."""
    verifier = await start(settings)
    token = forge.token(header={"kid": "new"}, key=forge.other_rsa)
    assert [await reason(verifier, forge.token()), await reason(verifier, token)] == ["ok", "token_signature"]
    file = Path(settings.keys)
    await turned(verifier, file, b"{", clock)
    assert [await reason(verifier, forge.token()), await reason(verifier, token)] == ["ok", "token_signature"]
    await turned(verifier, file, json.dumps({"keys": [jwk(forge.other_rsa, kid="new")]}).encode(), clock)
    assert [await reason(verifier, forge.token()), await reason(verifier, token)] == ["token_signature", "ok"]


async def turned(verifier: Verifier, file: Path, content: bytes, clock: FakeClock) -> None:
    """Change the file, let five seconds pass, and let the cache see to it."""
    cache = verifier._issuers[ISSUER].keys
    file.write_bytes(content)
    clock.advance(5)
    cache._wake.set()
    seen = cache._started
    await until(lambda: cache._started > seen and cache._refreshing is None)


async def test_the_whole_verifier_over_http(
    provider: IdentityProvider, start: Start, settings: IssuerSettings, forge: Forge, tmp_path: Path
) -> None:
    """Settings with a URL: fetched, kept under the given directory, and used after a restart without the issuer."""
    provider.body = json.dumps(forge.document()).encode()
    told = msgspec.structs.replace(settings, keys=provider.url)
    verifier = await start(told, kept_keys=tmp_path / "jwks")
    assert await reason(verifier, forge.token()) == "ok"
    await until(lambda: verifier._issuers[ISSUER].keys._refreshing is None)
    await verifier.close()
    provider.status = 503
    again = await start(told, kept_keys=tmp_path / "jwks")
    assert await reason(again, forge.token()) == "ok"


async def test_no_key_and_no_address_is_logged(
    provider: IdentityProvider, make: Make, forge: Forge, logged: LogCapture
) -> None:
    """Logs of refreshes name the issuer and the kind of error, never what came or the query of the URL."""
    key: dict[str, Any] = jwk(forge.rsa, kid="rsa")
    provider.url += "?secret=hush"
    provider.publish(key, {"kty": "oct", "kid": "shared", "k": "c2VjcmV0LWtleQ"})
    cache = make()
    await cache.refresh()
    provider.body = b"c2VjcmV0LWtleQ"
    await cache.refresh()
    shown = repr(logged.entries)
    assert "it holds a secret or a private key" in shown
    assert not [part for part in ("hush", "c2VjcmV0LWtleQ", key["n"]) if part in shown]
