"""What of a policy can be worked out in another process: machine code, and the answers that are asked for once."""

from typing import Final

import msgspec
import wasmtime
from msgspec import Struct
from opapywasm.runtime import WasmtimeRuntime, WasmtimeRuntimeFactory

from authz.engine.ticks import Ticks

MAX_MEMORY_PAGES: Final = 4096
"""256 MiB: a policy that wants more traps, the process does not swap."""


class Compiled(Struct, frozen=True):
    """A policy's module as machine code, and its answers to an empty input by entrypoint.

    Of a large policy it saves the process that decides most of a second of computing. It is machine code: believe
    only what a process of our own says. wasmtime refuses what another version or another processor made.
    """

    native: bytes
    inspected: dict[str, bytes]


_NOTHING: Final = Compiled(b"", {})


def read_compiled(handed_over: bytes) -> Compiled:
    """What `written` made; where that is nothing, or cannot be read, nothing is worked out yet."""
    try:
        return msgspec.msgpack.decode(handed_over, type=Compiled) if handed_over else _NOTHING
    except msgspec.MsgspecError:
        return _NOTHING


def written(compiled: Compiled) -> bytes:
    """The form in which it is handed from one process to another."""
    return msgspec.msgpack.encode(compiled)


class Native:
    """A module as machine code, from which instances are made, and the clock of their deadlines."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self.engine, self.module, self.ticks = engine, module, Ticks(engine)

    @classmethod
    def compile(cls, wasm: bytes) -> "Native":
        """Compile: 200 ms of computing, on every processor at once. Raises OpaWasmError."""
        factory = WasmtimeRuntimeFactory(wasm)
        return cls(factory.engine, factory.module)

    @classmethod
    def of(cls, wasm: bytes, native: bytes) -> "Native":
        """What was compiled elsewhere, in a millisecond; compiled anew if it is of no use here. Raises OpaWasmError."""
        if not native:
            return cls.compile(wasm)
        config = wasmtime.Config()
        config.epoch_interruption = True
        engine = wasmtime.Engine(config)
        try:
            return cls(engine, wasmtime.Module.deserialize(engine, native))
        except wasmtime.WasmtimeError:
            return cls.compile(wasm)

    def create_runtime(self) -> WasmtimeRuntime:
        """A new instance. Raises OpaWasmError."""
        return WasmtimeRuntime(self.engine, self.module, None, max_memory_pages=MAX_MEMORY_PAGES)

    def serialized(self) -> bytes:
        """The machine code, for `of`. Raises WasmtimeError."""
        return bytes(self.module.serialize())

    def close(self) -> None:
        """Stop the clock."""
        self.ticks.close()
