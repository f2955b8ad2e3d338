"""The compiled policy module, callable for as long as the process lives: what a failed call breaks is replaced.

Two of one shape: `PreparedModule` makes the prepared call, `LibraryModule` is opa-py-wasm's own `evaluate_raw`, for a
wasmtime-py that is laid out in another way than we know.
"""

from typing import ClassVar, Literal, Protocol

import msgspec
from opapywasm import OpaWasmError, OpaWasmPolicy, PolicyConfig
from wasmtime import WasmtimeError

from authz.engine.compiled import MAX_MEMORY_PAGES, Native
from authz.engine.guest import MAX_DATA_BYTES, MAX_INPUT_BYTES, MAX_RESULT_BYTES, Guest, GuestError, LayoutError

LOADING_SECONDS = 20.0
"""A thousand routes make a catalogue in 0.15 s, which no request would be given."""


class Counts(msgspec.Struct):
    """What went wrong inside guests, for metrics: only ever rises.

    `traps`: evaluations that ended an instance; `deadlines`: those of them that ran out of time; `rebuilds`:
    instances built in the place of one that ended.
    """

    traps: int = 0
    deadlines: int = 0
    rebuilds: int = 0


class Module(Protocol):
    """A compiled policy. For one thread at a time."""

    kind: ClassVar[Literal["prepared", "library"]]
    counts: Counts

    @property
    def entrypoints(self) -> dict[str, int]:
        """The number of each entrypoint, by its path: `authz/decision`."""
        ...

    @property
    def builtins(self) -> frozenset[str]:
        """The builtins that the module wants from its host."""
        ...

    def evaluate(self, entrypoint: int, document: bytes) -> bytes:
        """The result set of one entrypoint for one input document, both as JSON.

        Raises GuestError when there is none. The next call is not affected.
        """
        ...

    def inspect(self, entrypoint: int) -> bytes:
        """`evaluate` with an empty input and LOADING_SECONDS of time: for what is asked once, while loading.

        Raises GuestError, and then the module is of no use.
        """
        ...

    def native(self) -> bytes:
        """The machine code, for `compile_module` in another process; empty where there is none to be had."""
        ...

    def close(self) -> None:
        """Free everything native and stop the deadline's clock. Calls after it raise GuestError."""
        ...


def compile_module(wasm: bytes, data: bytes, *, deadline_seconds: float, counts: Counts, native: bytes = b"") -> Module:
    """Compile a module: 100 ms and more, so not on the event loop. Raises GuestError when it cannot be used.

    `native`: what another process, which has read `data` too, compiled it to. Believed, so it has to be one of our own.
    """
    try:
        return PreparedModule(wasm, data, deadline_seconds=deadline_seconds, counts=counts, native=native)
    except LayoutError:
        return LibraryModule(wasm, data, deadline_seconds=deadline_seconds, counts=counts)


class PreparedModule:
    """One guest at a time, called directly."""

    kind: ClassVar[Literal["prepared", "library"]] = "prepared"

    def __init__(
        self, wasm: bytes, data: bytes, *, deadline_seconds: float, counts: Counts, native: bytes = b""
    ) -> None:
        self.counts = counts
        # Who compiled it elsewhere has read the data there: with 10,000 roles it holds up every other thread.
        self._data = data if native else _one_document(data)
        try:
            self._native = Native.of(wasm, native)
        except OpaWasmError as error:
            raise GuestError(str(error)) from error
        self._deadline_ticks = self._native.ticks.of(deadline_seconds)
        self._guest: Guest | None = self._new_guest()
        self.entrypoints = self._guest.entrypoints
        self.builtins = self._guest.builtins
        self._open = True
        # wasmtime measures a deadline in ticks that somebody has to count: a thread of its own, every 10 ms.
        self._native.ticks.start()

    def evaluate(self, entrypoint: int, document: bytes) -> bytes:
        """See Module.evaluate. The call after a failed one also builds a new guest: 1-1.5 ms and the data again."""
        guest = self._guest or self._rebuilt()
        try:
            return guest.evaluate(entrypoint, document)
        except GuestError as error:
            self._guest = None
            self.counts.traps += 1
            self.counts.deadlines += error.late
            guest.close()
            raise

    def inspect(self, entrypoint: int) -> bytes:
        """See Module.inspect."""
        guest = self._guest or self._rebuilt()
        guest.deadline_ticks = self._native.ticks.of(LOADING_SECONDS)
        try:
            return guest.evaluate(entrypoint, b"{}")
        finally:
            guest.deadline_ticks = self._deadline_ticks

    def native(self) -> bytes:
        """See Module.native."""
        try:
            return self._native.serialized()
        except WasmtimeError:
            return b""

    def close(self) -> None:
        """See Module.close."""
        self._open = False
        self._native.close()
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def _rebuilt(self) -> Guest:
        if not self._open:
            raise GuestError("closed")
        self._guest = self._new_guest()
        self.counts.rebuilds += 1
        return self._guest

    def _new_guest(self) -> Guest:
        return Guest(self._native, self._data, self._deadline_ticks)


def _one_document(data: bytes) -> bytes:
    """`data`, which the guest would read up to its first mistake. Checked here once and not for every guest."""
    try:
        # Passed over and not made into objects: with 10,000 roles that would hold up every other thread.
        data.decode()
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GuestError(f"the data is not JSON: {error}") from error
    return data


class LibraryModule:
    """The same through opa-py-wasm's own evaluation, some fifteen times slower. It replaces its instances itself."""

    kind: ClassVar[Literal["prepared", "library"]] = "library"

    def __init__(self, wasm: bytes, data: bytes, *, deadline_seconds: float, counts: Counts) -> None:
        self.counts = counts
        self._wasm, self._data = wasm, data
        self._policy = self._new_policy(deadline_seconds)
        self.entrypoints = self._policy.entrypoints
        self.builtins = frozenset(self._policy.builtins)

    def evaluate(self, entrypoint: int, document: bytes) -> bytes:
        """See Module.evaluate. The library does not say which failures were deadlines, so none is counted as one."""
        try:
            return msgspec.json.encode(self._policy.evaluate_raw(document, entrypoint))
        except OpaWasmError as error:
            self.counts.traps += 1
            raise GuestError(str(error)) from error
        finally:
            self.counts.rebuilds = self._policy.instances_recreated

    def inspect(self, entrypoint: int) -> bytes:
        """See Module.inspect. The deadline of a policy cannot be changed, so another one is made for this."""
        try:
            with self._new_policy(LOADING_SECONDS) as policy:
                return msgspec.json.encode(policy.evaluate_raw(b"{}", entrypoint))
        except OpaWasmError as error:
            raise GuestError(str(error)) from error

    def native(self) -> bytes:
        """See Module.native: the library takes none."""
        return b""

    def close(self) -> None:
        """See Module.close."""
        self._policy.close()

    def _new_policy(self, deadline_seconds: float) -> OpaWasmPolicy:
        limits = PolicyConfig(
            pool_size=1,
            eval_timeout_seconds=deadline_seconds,
            parse_raw_json_input=False,
            max_input_bytes=MAX_INPUT_BYTES,
            max_data_bytes=MAX_DATA_BYTES,
            max_result_bytes=MAX_RESULT_BYTES,
            max_memory_pages=MAX_MEMORY_PAGES,
        )
        try:
            policy = OpaWasmPolicy.from_wasm_bytes(self._wasm, limits)
            policy.set_data(self._data)
        except OpaWasmError as error:
            raise GuestError(str(error)) from error
        return policy
