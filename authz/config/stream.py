"""Settings of the decision stream (docs/stream.md)."""

from typing import Annotated

from msgspec import Meta, Struct


class StreamSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[stream]`: decisions over WebSocket (docs/stream.md)."""

    connections: Annotated[
        int, Meta(ge=0, le=100_000, description="Most streams that are open at once; 0 = there are none.")
    ] = 2000
    in_flight: Annotated[
        int, Meta(ge=1, le=1000, description="Messages of one stream that are answered at once; then it is not read.")
    ] = 64
    subscriptions: Annotated[int, Meta(ge=0, le=10_000, description="Most subscriptions of one stream.")] = 256
    ping_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="A silent stream is pinged; without an answer in half of it, it is closed."),
    ] = 30.0
    slow_seconds: Annotated[
        float, Meta(gt=0, le=60, description="A stream that takes no answers for so long is cut off.")
    ] = 10.0
