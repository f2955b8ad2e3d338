"""The guest's memory: it grows for a large input, is found again where it went, and otherwise stays as it is."""

import re
from pathlib import Path

import msgspec
import pytest
from wasmtime import wat2wasm

from authz.core import ERROR, UNDEFINED, PolicyDecision
from authz.engine import EmbeddedPolicy, PolicyRefusedError
from authz.engine.guest import Guest
from authz.engine.module import PreparedModule
from tests.engine.conftest import Load

ALLOW = {"allow": True, "reason": "scope_granted", "scopes": ["memory:read"]}
ALLOWED = PolicyDecision(allow=True, reason="scope_granted", scopes=("memory:read",))


def question(filler_bytes: int = 0, **members: object) -> bytes:
    return msgspec.json.encode({"answer": ALLOW, "filler": "x" * filler_bytes, **members})


def guest_of(policy: EmbeddedPolicy) -> Guest:
    module = policy._module
    assert isinstance(module, PreparedModule)
    assert module._guest is not None
    return module._guest


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found.group(1)) * 1024


async def test_an_input_larger_than_the_memory_has_it_grown(load: Load) -> None:
    """An input of any size up to the limit is answered, by the same instance, and so is a small one after it."""
    policy = load("obedient", fresh=True)
    guest = guest_of(policy)
    small = guest._size
    for filler_bytes in (10, 60_000, 65_536, 131_072, 500_000, 999_000, 10):
        assert await policy.evaluate(question(filler_bytes)) == ALLOWED
    assert guest_of(policy) is guest
    assert guest._size > small + 999_000


async def test_an_input_up_to_the_very_end_of_the_memory_is_answered(load: Load) -> None:
    """Around the last byte that fits there is no input that is cut, lost or written elsewhere."""
    policy = load("obedient", fresh=True)
    for slack in range(-16, 17):
        await policy.evaluate(b'"\\ud800"')
        await policy.evaluate(b"{}")
        guest = guest_of(policy)
        filler_bytes = guest._size - guest._input_at - len(question()) + slack
        assert await policy.evaluate(question(filler_bytes)) == ALLOWED
        assert await policy.evaluate(b"{}") == UNDEFINED
        assert guest_of(policy) is guest


async def test_memory_that_grew_is_read_where_it_is_now(load: Load) -> None:
    """An evaluation that needs more memory than there is has its answer read from the memory as it is after it."""
    policy = load("obedient", fresh=True)
    guest = guest_of(policy)
    before, view = guest._size, guest._view
    assert await policy.evaluate(question(beside=[[]] * 20_000)) == ALLOWED
    assert guest._size > before + 65_536
    assert guest._view is not view


async def test_ten_thousand_evaluations_take_no_memory(load: Load) -> None:
    """Nothing of an evaluation is kept: neither its input and result, nor patterns that the guest compiled for it."""
    policy = load("obedient", fresh=True)
    guest = guest_of(policy)
    denied = PolicyDecision(allow=False, reason="condition_unmet", scopes=())
    match = msgspec.json.encode({"pattern": "^/mem[a-z]+/", "glob": "/memory/*", "text": "/memory/42"})
    assert denied == await policy.evaluate(match)
    size = guest._size
    for number in range(5_000):
        assert await policy.evaluate(question(number % 977)) == ALLOWED
        pattern = f"^/mem[a-z]+/(?:{number})?"
        assert denied == await policy.evaluate(match.replace(b"^/mem[a-z]+/", pattern.encode()))
    assert guest_of(policy) is guest
    assert guest._size == size


@pytest.mark.slow
async def test_a_thousand_broken_instances_leave_nothing_behind(load: Load) -> None:
    """Instances, traps and errors are freed when they end, not when the collector comes by."""
    policy = load("obedient", fresh=True)
    surrogate, nested = b'{"answer": "\\ud800"}', b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    for _ in range(100):
        assert await policy.evaluate(surrogate) == ERROR
    before = resident_bytes()
    for _ in range(500):
        assert await policy.evaluate(surrogate) == ERROR
        assert await policy.evaluate(nested) == ERROR
    assert resident_bytes() - before < 16_000_000
    assert await policy.evaluate(question()) == ALLOWED
    assert policy.counts.traps == 1_100


async def test_an_abort_is_not_taken_for_another_failure(load: Load) -> None:
    """What one policy aborted with is forgotten: a module that fails after it fails for its own reason.

    wasmtime-py keeps the last exception of a host function for the process and raises it at the next chance.
    """
    conflict = question(other_answer=ALLOW | {"scopes": []})
    assert await load("obedient").evaluate(conflict) == ERROR
    stranger = bytes(wat2wasm('(module (import "env" "memory" (memory 2)) (import "env" "opa_unheard_of" (func)))'))
    with pytest.raises(PolicyRefusedError, match="opa_unheard_of"):
        EmbeddedPolicy.load(stranger, b"{}", "r1")


async def test_while_no_instance_can_be_built_nothing_is_decided(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an instance every answer is `policy_error`; when one can be built again, answers are right again."""
    policy = load("obedient", fresh=True)
    with monkeypatch.context() as patch:
        patch.setattr("authz.engine.guest.MemoryCodec", _no_room)
        assert await policy.evaluate(b'{"answer": "\\ud800"}') == ERROR
        assert [await policy.evaluate(question()) for _ in range(3)] == [ERROR] * 3
    assert await policy.evaluate(question()) == ALLOWED
    assert (policy.counts.traps, policy.counts.rebuilds) == (1, 1)


def _no_room(*_: object, **__: object) -> None:
    from opapywasm import OpaMemoryError

    raise OpaMemoryError("no room")


async def test_data_belongs_to_the_instance(load: Load) -> None:
    """A policy decides by the data it was loaded with, also after its instance was replaced."""
    route = {"subject": {"roles": ["x"]}, "action": {"name": "GET"}, "resource": {"route": "/memory"}}
    data = {"roles": {"x": ["memory:read"]}, "routes": {"/memory": {"GET": ["memory:read"]}}}
    policy = load("roles", data=msgspec.json.encode(data))
    assert await policy.evaluate(msgspec.json.encode(route)) == ALLOWED
    assert await policy.evaluate(b'"\\ud800"') == ERROR
    assert await policy.evaluate(msgspec.json.encode(route)) == ALLOWED
