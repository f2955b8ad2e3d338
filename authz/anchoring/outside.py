"""How this room talks to other machines, and how it reads what they say."""

from typing import Final

import aiohttp

from authz.anchoring.errors import OutwardError

MAX_ANSWER_BYTES: Final = 64 * 1024
"""More than any checkpoint with its signatures."""

UNREACHABLE: Final = (aiohttp.ClientError, OSError, ValueError)
"""What aiohttp raises when there is no answer, or none that is HTTP."""


def open_session() -> aiohttp.ClientSession:
    """No cookies, no proxies from the environment, nothing compressed: a bound on an answer is a bound."""
    return aiohttp.ClientSession(
        headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit_per_host=2),
        auto_decompress=False,
        trust_env=False,
    )


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises OutwardError when it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise OutwardError(f"it answered more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def printable(body: bytes) -> str:
    """The beginning of an answer, as a message may repeat it."""
    return "".join(each for each in body[:200].decode("utf-8", "replace") if each.isprintable())
