"""One instance of the compiled policy, and the one prepared C call that evaluates it.

opa-py-wasm builds the instance and loads its data. Its own `evaluate` then makes five guest calls through wasmtime-py,
which reflects every function type anew: 140-235 us around a policy that needs 10. OPA's `opa_eval` does the same in
one call, and everything that call needs can be laid out once, in the structures of wasmtime's public C API.
"""

from ctypes import POINTER, addressof, byref, c_ubyte
from typing import Any, Final

from opapywasm.abi import OpaAbi
from opapywasm.errors import OpaWasmError
from opapywasm.memory import MemoryCodec
from opapywasm.runtime import WasmtimeRuntime
from wasmtime import MemoryType, Trap, TrapCode, WasmtimeError
from wasmtime import _ffi as c_api
from wasmtime import _func as host_calls

from authz.engine.compiled import Native

MAX_INPUT_BYTES: Final = 1_000_000
MAX_DATA_BYTES: Final = 10_000_000
MAX_RESULT_BYTES: Final = 10_000_000

_READ_BYTES: Final = (1024, 65_536, MAX_RESULT_BYTES)
"""How much is copied out in search of the result's end: one decision, a batch, anything."""

_FIRST_PAGES: Final = 2
"""What opa-py-wasm 1.2 gives every instance to start with, and what `opa build` asks for when constants are few."""

# The C functions of every evaluation, without the Python function that wasmtime-py puts around each: 0.5 us.
_call: Final = c_api.dll.wasmtime_func_call
_set_deadline: Final = c_api.dll.wasmtime_context_set_epoch_deadline
_memory_size: Final = c_api.dll.wasmtime_memory_data_size

_LIBRARY_ERRORS: Final = (OpaWasmError, WasmtimeError, Trap)


class GuestError(Exception):
    """The guest gave no answer. It must not be called again: what it left in its memory is anybody's guess."""

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late


class LayoutError(Exception):
    """wasmtime-py is not laid out as this module knows it: another version."""


class Guest:
    """One instance: its memory holds the data, then the input, then everything one evaluation allocates.

    For one thread at a time. After a GuestError only `close` may be called.
    """

    def __init__(self, native: Native, data: bytes, deadline_ticks: int) -> None:
        """Instantiate and load `data`, one valid JSON document: 1-1.5 ms, and about 15 us for each kB of data.

        Raises LayoutError, or GuestError when the module or the data cannot be used.
        """
        try:
            self._runtime = native.create_runtime()
        except _LIBRARY_ERRORS as error:
            raise GuestError(_not_instantiated(native, error)) from error
        try:
            self._load(data)
            self._prepare(deadline_ticks)
        except BaseException:
            self.close()
            raise

    def _load(self, data: bytes) -> None:
        try:
            self._abi = OpaAbi(self._runtime)
            codec = MemoryCodec(
                self._abi,
                max_input_bytes=MAX_INPUT_BYTES,
                max_data_bytes=MAX_DATA_BYTES,
                max_result_bytes=MAX_RESULT_BYTES,
                max_cstring_scan_bytes=MAX_RESULT_BYTES,
            )
            start = self._abi.opa_heap_ptr_get()
            self.entrypoints = codec.decode_entrypoints()
            self.builtins = frozenset(codec.decode_builtins())
            self._abi.opa_heap_ptr_set(start)
            self._data_at = codec.python_to_opa_value(data, limit=MAX_DATA_BYTES, kind="data", validate=False)
            self._input_at = self._abi.opa_heap_ptr_get()
        except _LIBRARY_ERRORS as error:
            raise GuestError(f"the policy cannot be loaded: {error}") from error

    def _prepare(self, deadline_ticks: int) -> None:
        """Lay out `opa_eval(reserved, entrypoint, data, input, input length, heap, format)` and its result."""
        function, memory = _layout(self._runtime)
        self._memory = byref(memory)
        self._context = c_api.wasmtime_store_context(self._runtime.store.ptr())
        self.deadline_ticks = deadline_ticks
        self._arguments = (c_api.wasmtime_val_t * 7)()
        self._results = (c_api.wasmtime_val_t * 1)()
        self._trap: Any = POINTER(c_api.wasm_trap_t)()
        self._prepared = (self._context, byref(function), self._arguments, 7, self._results, 1, byref(self._trap))
        _, self._entrypoint, data, start, self._length, self._heap, _ = (value.of for value in self._arguments)
        self._answer = self._results[0].of
        for value in self._arguments:
            value.kind = c_api.WASMTIME_I32
        data.i32, start.i32 = self._data_at, self._input_at
        self._map_memory()

    def evaluate(self, entrypoint: int, document: bytes) -> bytes:
        """The result set of one entrypoint for one input document, both as JSON.

        Raises GuestError: the policy trapped, aborted or ran past its deadline.
        """
        end = self._input_at + len(document)
        if end > self._size:
            self._make_room(len(document))
        self._view[self._input_at : end] = document
        self._entrypoint.i32 = entrypoint
        self._length.i32 = len(document)
        # What the evaluation allocates starts past the input, or it would overwrite it while reading it; and it
        # starts there every time, so nothing of an earlier evaluation is kept and memory does not grow.
        self._heap.i32 = (end + 7) & ~7
        # The deadline is so many ticks from now: one left from an earlier call has already passed.
        _set_deadline(self._context, self.deadline_ticks)
        error: Any = _call(*self._prepared)
        if error or self._trap:
            raise self._failure(error)
        # A guest that grew its memory may have had it moved: the old address is not ours any more.
        if _memory_size(self._context, self._memory) != self._size:
            self._map_memory()
        return self._text(self._answer.i32)

    def close(self) -> None:
        """Free the instance and its memory, at once and not when the collector comes by. May be repeated."""
        self._view = memoryview(b"")
        self._runtime.close()

    def _map_memory(self) -> None:
        """Look at the guest's memory where it is now: through slices, which are bounds checked, not raw addresses."""
        self._size: int = _memory_size(self._context, self._memory)
        base = c_api.wasmtime_memory_data(self._context, self._memory)
        self._view = memoryview((c_ubyte * self._size).from_address(addressof(base.contents))).cast("B")

    def _make_room(self, length: int) -> None:
        """Have the guest's own allocator grow the memory, which keeps its own account of where memory ends."""
        _set_deadline(self._context, self.deadline_ticks)
        try:
            self._abi.opa_heap_ptr_set(self._input_at)
            self._abi.opa_malloc(length)
        except _LIBRARY_ERRORS as error:
            raise GuestError(f"no room for the input: {error}") from error
        self._map_memory()
        # The allocator does not look whether growing worked.
        if self._input_at + length > self._size:
            raise GuestError("no room for the input")

    def _text(self, at: int) -> bytes:
        """The NUL-terminated text at an address that the guest gave: searched for in the guest's memory only."""
        for size in _READ_BYTES if at > 0 else ():
            text = bytes(self._view[at : at + size])
            end = text.find(0)
            if end >= 0:
                return text[:end]
        raise GuestError("the result has no end")

    def _failure(self, error: Any) -> GuestError:
        """What went wrong. wasmtime hands over an error or a trap, and either is ours to free."""
        # wasmtime-py keeps what a host function raised (`opa_abort` does) in one place for the whole process, and
        # would raise it in the next guest to trap for a reason of its own, such as a new one short of memory.
        raised, host_calls.LAST_EXCEPTION = host_calls.LAST_EXCEPTION, None
        if error:
            c_api.wasmtime_error_delete(error)
            return GuestError(str(raised or "the call was not made"))
        code = c_api.wasmtime_trap_code_t()
        late = c_api.wasmtime_trap_code(self._trap, byref(code)) and code.value == TrapCode.INTERRUPT.value
        c_api.wasm_trap_delete(self._trap)
        return GuestError("it ran past its deadline" if late else str(raised or "trap"), late=late)


def _layout(runtime: WasmtimeRuntime) -> tuple[c_api.wasmtime_func_t, c_api.wasmtime_memory_t]:
    """The C structures inside wasmtime-py's objects: the one thing here that it does not publish."""
    function = getattr(runtime.get_func("opa_eval"), "_func", None)
    memory = getattr(runtime.memory, "_memory", None)
    if not isinstance(function, c_api.wasmtime_func_t) or not isinstance(memory, c_api.wasmtime_memory_t):
        raise LayoutError("wasmtime-py keeps its functions and memories in another way")
    return function, memory


def _not_instantiated(native: Native, error: Exception) -> str:
    pages = max(wanted.type.limits.min for wanted in native.module.imports if isinstance(wanted.type, MemoryType))
    if pages > _FIRST_PAGES:
        return f"the constants in its Rego need {pages} pages of memory and there are {_FIRST_PAGES}: make them data"
    return f"the module cannot be instantiated: {error}"
