"""One call to an OPA server: opa-python-client's asynchronous client, with the parts of it that a decision can rest on.

Its requests, URLs, token and sessions are its own. Not taken over, and why:

- `retries`: none. It sleeps 0.3 s before the first one, more than a decision may take.
- `query_rule`: it decodes and encodes every document as Python objects, gives `{}` for what is undefined, and raises
  aiohttp's errors. Here bytes go in and bytes come out, and are held to the contract by `core.contract`.
- its session: it takes neither a CA file nor a Unix socket, and would let OPA compress every answer.
- paths: it pastes whatever it is given into the URL. Only the rule names below ever get there.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import aiohttp
import msgspec
from msgspec import UNSET, Struct, UnsetType
from opa_client.opa_async import AsyncOpaClient  # type: ignore[import-untyped]

from authz.core import ConfigurationError
from authz.engine.opa.place import Place

Rule = Literal["decision", "decisions", "explain", "catalogue", "candidates"]
"""The rules of the contract. Everything of an URL's path is ours, never a request's."""

CONNECTIONS: Final = 64
MAX_ANSWER_BYTES: Final = 10_000_000

_ALIVE_CODES: Final = frozenset({"invalid_parameter"})
_EVALUATION: Final = "eval_"


class NoAnswerError(Exception):
    """The server gave no answer that could be used. The text is for logs: nothing of a request is in it."""

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late


class RuleFailedError(Exception):
    """The server answered that this very question cannot be evaluated."""


class Reply(NamedTuple):
    """What the server said: a result set as `core.contract` reads it, and the revisions of its active bundles."""

    result_set: bytes
    revisions: frozenset[str]


class OpaClient:
    """Asks one OPA server. `open` first, `close` at the end; both on the event loop."""

    def __init__(self, place: Place, *, ca_file: Path | None = None, token_file: Path | None = None) -> None:
        self.place = place
        self._token_file = token_file
        self._tls = _tls(ca_file) if place.tls else None
        self._session: _Session | None = None
        self._token = ""

    async def open(self) -> None:
        """Read the token anew. Raises NoAnswerError when it cannot be read."""
        token = await asyncio.to_thread(_read_token, self._token_file)
        if self._session is not None and token == self._token:
            return
        await self.close()
        self._token = token
        self._session = _Session(self.place, self._tls, token)
        await self._session.begin()

    async def close(self) -> None:
        """Hang up."""
        session, self._session = self._session, None
        if session is not None:
            await session.close_connection()

    async def ask(self, rule: Rule, document: bytes, seconds: float) -> Reply:
        """`data.authz.<rule>` of one input document, within so many seconds.

        Raises NoAnswerError, or RuleFailedError when the evaluation failed and the server did not.
        """
        if self._session is None:
            raise NoAnswerError("not connected")
        try:
            status, body = await self._session.post(rule, b'{"input":%b}' % document, seconds)
        except TimeoutError:
            raise NoAnswerError(f"no answer within {seconds:.3f} s", late=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswerError(f"{type(error).__name__} at {self.place}") from error
        return _read(status, body)


class _Session(AsyncOpaClient):  # type: ignore[misc] # it is not typed
    """The library's client with a session of ours."""

    def __init__(self, place: Place, tls: ssl.SSLContext | None, token: str) -> None:
        super().__init__(host=place.host, port=place.port, ssl=place.tls, token=token or None, retries=0)
        self._place, self._tls = place, tls

    async def begin(self) -> None:
        """Make the session, which the library does for `async with` only."""
        await self._init_session()

    async def _init_session(self) -> None:
        if self._place.socket is not None:
            self._connector: aiohttp.BaseConnector = aiohttp.UnixConnector(str(self._place.socket), limit=CONNECTIONS)
        else:
            self._connector = aiohttp.TCPConnector(ssl=self._tls or True, limit=CONNECTIONS)
        # Compressing answers costs both sides more than a loopback saves.
        headers = {**(self.headers or {}), "Accept-Encoding": "identity", "Content-Type": "application/json"}
        self._session = aiohttp.ClientSession(
            headers=headers, connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    async def post(self, rule: Rule, body: bytes, seconds: float) -> tuple[int, bytes]:
        """Status and body."""
        url = f"{self.root_url}/data/authz/{rule}?provenance=true"
        wait = aiohttp.ClientTimeout(total=seconds)
        async with self._request("POST", url, data=body, timeout=wait, allow_redirects=False) as response:
            return response.status, await _bounded(response)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    pieces, left = [], MAX_ANSWER_BYTES
    async for piece in response.content.iter_any():
        left -= len(piece)
        if left < 0:
            raise aiohttp.ClientPayloadError("more than an answer may be")
        pieces.append(piece)
    return b"".join(pieces)


class _Bundle(Struct, frozen=True):
    revision: str = ""


class _Provenance(Struct, frozen=True):
    bundles: dict[str, _Bundle] = {}


class _Answer(Struct):
    result: msgspec.Raw | UnsetType = UNSET
    provenance: _Provenance = _Provenance()


class _Failure(Struct):
    code: str = ""
    errors: tuple[dict[str, Any], ...] = ()


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode


def _read(status: int, body: bytes) -> Reply:
    if status != 200:
        raise _failure(status, body)
    try:
        answer = _decode_answer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NoAnswerError("the answer is not OPA's") from None
    revisions = frozenset(bundle.revision for bundle in answer.provenance.bundles.values())
    # An undefined rule is an answer without a result.
    result_set = b"[]" if isinstance(answer.result, UnsetType) else b'[{"result":%b}]' % bytes(answer.result)
    return Reply(result_set, revisions)


def _failure(status: int, body: bytes) -> NoAnswerError | RuleFailedError:
    """Whether the question failed or the server did. What OPA says of it can hold parts of the input: it stays here."""
    try:
        failure = _decode_failure(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NoAnswerError(f"status {status}")
    codes = [str(error.get("code", "")) for error in failure.errors]
    evaluated = status == 500 and codes and all(code.startswith(_EVALUATION) for code in codes)
    if evaluated or (status == 400 and failure.code in _ALIVE_CODES):
        return RuleFailedError(codes[0] if codes else failure.code)
    return NoAnswerError(f"status {status}, {failure.code[:64]}")


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"opa.ca_file: {ca_file} cannot be used: {error}") from None


def _read_token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoAnswerError(f"opa.token_file cannot be read: {type(error).__name__}") from None
    if not token or any(character.isspace() or not character.isprintable() for character in token):
        raise NoAnswerError("opa.token_file does not hold one token")
    return token
