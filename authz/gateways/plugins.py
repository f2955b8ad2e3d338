"""OPA plugins of gateways: they post a JSON input to OPA's Data API and do what the JSON answer says.

They tell the path decoded. It is encoded anew here, and the core refuses whatever is then not plain: `%2f` and `/`
look alike to a plugin. Where a gateway also has a forward-auth plugin, that one tells more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from authz.core import AccessRequest, BadRequestError, Caller
from authz.gateways.original import Told, question
from authz.gateways.wire import Provenance, Reply, correlation, single, user_token

MAX_HEADERS = 100
"""OpenResty's `get_headers()` stops at so many: what came after them the upstream sees, and we do not."""

_Body = TypeVar("_Body")
_PLAIN = "/-._~!$&'()*+,=:@"


class Plugin(NamedTuple):
    """How one plugin asks and is answered.

    `read` takes a request body and raises BadRequestError; `wrap` puts a reply into the JSON that the plugin obeys.
    """

    name: str
    read: Callable[[bytes, Caller], AccessRequest]
    wrap: Callable[[Reply], Reply]


class PluginRequest(Struct):
    """The request as both kinds of plugin tell it; a header that was sent twice is a list."""

    method: str
    path: str
    host: str
    headers: dict[str, str | list[str]]


class _ListedHeaders:
    """Implements wire.Headers on a plugin's table, whose names are in lower case."""

    def __init__(self, table: dict[str, str | list[str]]) -> None:
        self._table = table

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Every value of a field."""
        value = self._table.get(name.lower())
        if value is None:
            return default
        return [value] if isinstance(value, str) else value

    def __len__(self) -> int:
        return sum(1 if isinstance(value, str) else len(value) for value in self._table.values())


def asked(dialect: str, request: PluginRequest, ip: str | None, caller: Caller) -> AccessRequest:
    """The question in a plugin's request. Raises BadRequestError when some of its headers may have been left out."""
    headers = _ListedHeaders(request.headers)
    if len(headers) >= MAX_HEADERS:
        raise BadRequestError(f"headers: {MAX_HEADERS} or more, of which the plugin does not tell all")
    told = Told(request.method, quote(request.path, safe=_PLAIN), request.host)
    whence: Provenance = {**correlation(headers), "ip": ip, "user_agent": single(headers, "user-agent")}
    return question(dialect, told, caller, user_token(headers, caller), whence)


def document(reply: Reply, status_member: str, body_member: str) -> Reply:
    """The reply as `{"result": {"allow": ...}}`: a real boolean, because to Lua everything but false is true.

    Headers go upstream on an allow and to the client on a denial. The HTTP status is the reply's own where we could
    not decide, else 200.
    """
    result: dict[str, Any] = {"allow": reply.status == 200, "headers": reply.headers}
    if reply.status != 200:
        result |= {status_member: reply.status, body_member: msgspec.Raw(reply.body)}
    content = {"Content-Type": "application/json", "X-Decision-Id": reply.headers["X-Decision-Id"]}
    return Reply(503 if reply.status == 503 else 200, content, msgspec.json.encode({"result": result}))


def decoded(decode: Callable[[bytes], _Body], body: bytes) -> _Body:
    """The body in its type. Raises BadRequestError, which says where it is wrong and nothing of what it holds."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise BadRequestError(str(error).replace("`$.", "`")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequestError("The body is not valid JSON") from None
