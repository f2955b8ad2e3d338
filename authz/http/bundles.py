"""`GET /v1/policy/bundle`: the bundle in force, for the OPA server beside it, by OPA's bundle protocol."""

import asyncio
import re
from typing import Final

from aiohttp import web

from authz.activation import Activation
from authz.gateways import Reply, RequestHead
from authz.http.answers import Answer, only_get
from authz.http.callers import Callers
from authz.http.errors import CallerForbiddenError

BUNDLE: Final = "/v1/policy/bundle"

_LONGEST_WAIT_SECONDS: Final = 600
_WAIT: Final = re.compile(r"(?:^|[;,\s])wait=([0-9]{1,6})(?:$|[;,\s])")
BUNDLE_TYPE: Final = "application/vnd.openpolicyagent.bundles"


class BundleRoute:
    """Serves the archive that the policy in force was loaded from, with an ETag, and holds requests that ask for it."""

    def __init__(self, activation: Activation, callers: Callers) -> None:
        self._activation = activation
        self._callers = callers
        self._closing = asyncio.Event()

    async def close(self) -> None:
        """Answer every request that is held: the listener is about to end."""
        self._closing.set()

    async def answer(self, head: RequestHead, request: web.BaseRequest) -> Answer:
        """200 with the bundle, 304 when the caller has it (`If-None-Match`), after `Prefer: wait` at the latest.

        Raises CallerForbiddenError, and as identifying does.
        """
        only_get(head)
        known, _ = self._callers.identify(request, BUNDLE)
        if not known.may_fetch_bundle:
            raise CallerForbiddenError(f"The caller {known.caller.name} may not fetch bundles; see its `bundle`")
        has = ",".join(head.headers.getall("If-None-Match", []))
        if self._etag() in has:
            await self._another(_wait_seconds(head))
        headers = {"ETag": self._etag(), "Content-Type": BUNDLE_TYPE}
        if self._etag() in has:
            return Answer(Reply(304, headers, b""))
        return Answer(Reply(200, headers, self._activation.candidate.archive))

    def _etag(self) -> str:
        return f'"{self._activation.candidate.examined.sha256}"'

    async def _another(self, seconds: int) -> None:
        """Wait until another policy is in force, this listener ends, or it took too long."""
        if not seconds:
            return
        waiting = {asyncio.create_task(each.wait()) for each in (self._activation.changed, self._closing)}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()


def _wait_seconds(head: RequestHead) -> int:
    found = _WAIT.search(",".join(head.headers.getall("Prefer", [])))
    return min(int(found[1]), _LONGEST_WAIT_SECONDS) if found is not None else 0
