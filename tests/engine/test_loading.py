"""What is refused before it can decide anything."""

import threading
from pathlib import Path

import msgspec
import pytest

from authz.core import ERROR
from authz.engine import ActivePolicy, Counts, EmbeddedPolicy, PolicyRefusedError
from authz.engine.compiled import Compiled, Native, written
from authz.engine.module import PreparedModule
from tests.engine.conftest import Compile, Load


def refusal(wasm: bytes, data: bytes = b"{}") -> str:
    with pytest.raises(PolicyRefusedError) as caught:
        EmbeddedPolicy.load(wasm, data, "r1")
    return str(caught.value)


def test_builtins_of_the_host_are_refused(compile_policy: Compile) -> None:
    """A module that needs a builtin from outside the guest is refused by the builtin's name."""
    compiled = compile_policy("clock", "decision", "catalogue")
    assert refusal(compiled.wasm) == "revision r1: it needs builtins that the Wasm guest lacks: time.now_ns"


def test_missing_entrypoints_are_refused(compile_policy: Compile) -> None:
    """`decision` and `catalogue` are required, and the one that is missing is named."""
    compiled = compile_policy("single", "decision")
    assert refusal(compiled.wasm) == "revision r1: it has no entrypoint authz/catalogue"
    compiled = compile_policy("obedient", "explain")
    assert refusal(compiled.wasm) == "revision r1: it has no entrypoint authz/decision and no authz/catalogue"


def test_a_catalogue_outside_the_contract_is_refused(compile_policy: Compile) -> None:
    """Without a catalogue that can be read there is no policy."""
    compiled = compile_policy("unreadable", "decision", "catalogue")
    assert refusal(compiled.wasm) == (
        "revision r1: data.authz.catalogue: Expected `array`, got `str` - at `$[0].result.scopes`"
    )


@pytest.mark.parametrize("wasm", [b"", b"not a module", b"\0asm\x01\0\0\0"], ids=["empty", "text", "no policy"])
def test_anything_else_is_refused(wasm: bytes) -> None:
    """Bytes that are no policy are refused in our words, whatever they are."""
    assert refusal(wasm).startswith("revision r1: ")


def test_large_constants_are_refused_with_the_way_out(tmp_path: Path, compile_policy: Compile) -> None:
    """opa-py-wasm starts a guest with 128 KiB: constants that need more are refused, and belong into the data."""
    constants = ", ".join(f'"{number:0100d}"' for number in range(2_000))
    (tmp_path / "large.rego").write_text(f"package authz\n\ndecision := [{constants}][input.number]\n")
    assert refusal(compile_policy(tmp_path, "decision").wasm) == (
        "revision r1: the constants in its Rego need 6 pages of memory and there are 2: make them data"
    )


UNREADABLE = {
    "none": b"",
    "cut": b"{",
    "two": b"{} {}",
    "no UTF-8": b'{"a": "\xff"}',
    "a surrogate": b'{"a": "\\ud800"}',
    "deep": b"[" * 5_000 + b"]" * 5_000,
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_data_that_cannot_be_read_is_refused(compile_policy: Compile, data: bytes) -> None:
    """A data document that is not one JSON document is refused when it is loaded, not when it is used."""
    assert refusal(compile_policy("obedient").wasm, data).startswith("revision r1: the data is not JSON: ")


def test_too_much_data_is_refused(compile_policy: Compile) -> None:
    """Over 10 MB of data are refused, with the limit."""
    data = msgspec.json.encode(["x" * 1_000_000] * 10)
    assert refusal(compile_policy("obedient").wasm, data) == (
        "revision r1: the policy cannot be loaded: data is 10000031 bytes, exceeding the 10000000-byte limit"
    )


def test_a_refused_policy_leaves_no_thread(compile_policy: Compile) -> None:
    """The thread that counts the deadline's ticks ends with the policy, refused or closed."""
    before = threading.active_count()
    refusal(compile_policy("unreadable", "decision", "catalogue").wasm)
    assert threading.active_count() == before
    compiled = compile_policy("obedient")
    policy = EmbeddedPolicy.load(compiled.wasm, compiled.data, "r1")
    assert threading.active_count() == before + 1
    policy.close()
    assert threading.active_count() == before


@pytest.mark.usefixtures("kind")
def test_a_long_catalogue_may_take_longer_than_a_question(compile_policy: Compile) -> None:
    """What is asked once while loading is not held to the deadline of a request."""
    roles = {f"role{number}": ["memory:read"] for number in range(5_000)}
    data = msgspec.json.encode({"roles": roles, "routes": {}})
    policy = EmbeddedPolicy.load(compile_policy("roles").wasm, data, "r1", deadline_seconds=0.01)
    assert len(policy.catalogue.roles) == 5_000
    policy.close()


async def test_what_was_compiled_elsewhere_is_not_compiled_again(
    compile_policy: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything asked that was asked there; it decides as the one that was compiled here."""
    sources = compile_policy("roles")
    data = msgspec.json.encode({"roles": {"reader": ["memory:read"]}, "routes": {}})
    here = EmbeddedPolicy.load(sources.wasm, data, "r1")
    compiled = here.compiled()
    monkeypatch.setattr(Native, "compile", None)
    monkeypatch.setattr(PreparedModule, "inspect", None)
    there = EmbeddedPolicy.load(sources.wasm, data, "r1", compiled=compiled)
    assert (there.catalogue, there.searches) == (here.catalogue, here.searches)
    for question in (b"{}", b'{"subject": {"roles": ["reader"]}}'):
        assert await there.evaluate(question) == await here.evaluate(question)
    here.close()
    there.close()


@pytest.mark.parametrize(
    "compiled", [b"junk", written(Compiled(b"junk", {}))], ids=["not even that", "no machine code of this version"]
)
async def test_what_cannot_be_used_is_compiled_here(compile_policy: Compile, compiled: bytes) -> None:
    """After an upgrade the other process may be of another version."""
    sources = compile_policy("obedient")
    policy = EmbeddedPolicy.load(sources.wasm, sources.data, "r1", compiled=compiled)
    assert await policy.evaluate(b"{}") != ERROR
    policy.close()


async def test_counts_outlive_a_revision(compile_policy: Compile) -> None:
    """A count that is handed on from one revision to the next goes on where it was."""
    counts, compiled = Counts(), compile_policy("obedient")
    for traps in (1, 2):
        policy = EmbeddedPolicy.load(compiled.wasm, compiled.data, "r1", counts=counts)
        await policy.evaluate(b'{"answer": "\\ud800"}')
        policy.close()
        assert counts == Counts(traps=traps)


async def test_another_policy_is_in_force_at_once(load: Load) -> None:
    """`replace` changes the active policy in one step and gives back the one before."""
    first, second = load("obedient"), load("roles")
    active = ActivePolicy(first)
    assert active.active is first
    assert active.replace(second) is first
    assert active.active is second
