"""The eighteen things that somebody with the disk can do to a ledger, and which piece finds each of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from authz.audit import Verification, verify

from . import attacks
from .attacks import FIRST, SECOND, Scene
from .ledger import STREAM
from .signed_ledger import NODE_STREAM

_Found = tuple[str, str, str, int]
"""Kind, stream, segment and line."""


class Case(NamedTuple):
    """`found_by` "chain": chain and numbers alone find it; "disk": what is signed on the same disk does, held to a
    pinned key; "elsewhere": a checkpoint that was kept elsewhere does. `found`: all that is said with all of it."""

    attack: Callable[[Scene], None]
    found_by: set[str]
    found: set[_Found]


def _main(kind: str, segment: str, line: int) -> _Found:
    return kind, STREAM, segment, line


def _node(kind: str, segment: str, line: int) -> _Found:
    return kind, NODE_STREAM, segment, line


ALL = {"chain", "disk", "elsewhere"}
SIGNED = {"disk", "elsewhere"}
KEPT = {"elsewhere"}

EDITED = {
    _main("chain_broken", FIRST, 250),
    _main("record_changed", FIRST, 250),
    _main("root_mismatch", FIRST, 300),
    _main("root_mismatch", SECOND, 500),
}
CASES = [
    Case(attacks.bit_flip, ALL, EDITED),
    Case(attacks.line_edited, ALL, EDITED),
    Case(
        attacks.line_deleted,
        ALL,
        {
            _main("chain_broken", SECOND, 249),
            _main("seq_gap", SECOND, 250),
            _main("record_changed", SECOND, 250),
            _main("root_mismatch", SECOND, 300),
        },
    ),
    Case(
        attacks.lines_swapped,
        ALL,
        {
            _main("chain_broken", FIRST, 249),
            _main("seq_gap", FIRST, 250),
            _main("chain_broken", FIRST, 250),
            _main("seq_repeated", FIRST, 251),
            _main("time_reversed", FIRST, 251),
            _main("chain_broken", FIRST, 251),
            _main("seq_gap", FIRST, 252),
            _main("record_changed", FIRST, 250),
            _main("record_changed", FIRST, 251),
            _main("root_mismatch", FIRST, 300),
            _main("root_mismatch", SECOND, 500),
        },
    ),
    Case(
        attacks.line_inserted,
        ALL,
        {
            _main("chain_broken", SECOND, 250),
            _main("seq_repeated", SECOND, 251),
            _main("time_reversed", SECOND, 251),
            _main("record_changed", SECOND, 250),
            _main("root_mismatch", SECOND, 300),
            _main("root_mismatch", SECOND, 500),
        },
    ),
    Case(
        attacks.last_line_flipped,
        SIGNED,
        {_main("root_mismatch", SECOND, 500), _main("record_changed", SECOND, 500)},
    ),
    Case(
        attacks.edited_and_rehashed,
        SIGNED,
        {
            _main("record_changed", SECOND, 250),
            _main("root_mismatch", SECOND, 300),
            _main("root_mismatch", SECOND, 500),
        },
    ),
    Case(
        attacks.deleted_renumbered_and_rehashed,
        SIGNED,
        {
            _main("record_changed", SECOND, 250),
            _main("root_mismatch", SECOND, 300),
            _main("stream_cut", SECOND, 499),
        },
    ),
    Case(
        attacks.deleted_and_rehashed,
        ALL,
        {
            _main("seq_gap", SECOND, 250),
            _main("record_changed", SECOND, 250),
            _main("root_mismatch", SECOND, 300),
        },
    ),
    Case(attacks.tail_cut, SIGNED, {_main("stream_cut", SECOND, 350)}),
    Case(
        attacks.tail_and_checkpoints_cut,
        KEPT,
        {_main("stream_cut", SECOND, 300), _node("stream_cut", "000000000022.jsonl", 3)},
    ),
    Case(
        attacks.rolled_back,
        KEPT,
        {_main("stream_cut", FIRST, 500), _node("stream_cut", "000000000013.jsonl", 3)},
    ),
    Case(
        attacks.replaced_under_old_checkpoints,
        SIGNED,
        {
            _main("root_mismatch", FIRST, 100),
            _main("record_changed", FIRST, 1),
            _main("root_mismatch", SECOND, 500),
        },
    ),
    Case(
        attacks.replaced_without_checkpoints,
        SIGNED,
        {
            _main("root_mismatch", SECOND, 500),
            _main("checkpoint_missing", "checkpoint", 0),
            _node("stream_missing", "", 0),
        },
    ),
    Case(
        attacks.replaced_under_another_key,
        SIGNED,
        {
            _main("checkpoint_refused", "checkpoint", 0),
            _main("root_mismatch", SECOND, 500),
            _node("checkpoint_refused", "checkpoint", 0),
            _node("root_mismatch", "000000000028.jsonl", 3),
        },
    ),
    Case(
        attacks.forked_with_the_real_key,
        KEPT,
        {_main("root_mismatch", SECOND, 500), _node("root_mismatch", "000000000028.jsonl", 3)},
    ),
    Case(
        attacks.rewritten_with_the_real_key,
        KEPT,
        {_main("root_mismatch", SECOND, 500), _node("root_mismatch", "000000000028.jsonl", 3)},
    ),
    Case(attacks.edited_after_the_newest_checkpoint, set(), set()),
]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The ledger before anything is done to it."""
    return attacks.build(tmp_path_factory.mktemp("scene"))


def _by_chain(scene: Scene, directory: Path) -> Verification:
    """Verify a copy that has nothing but records."""
    shutil.copytree(scene.stream, directory / STREAM)
    return verify(directory)


def _found(verification: Verification) -> set[_Found]:
    return {(issue.kind, issue.stream, issue.segment, issue.line) for issue in verification.issues}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.attack.__name__)
def test_an_attack_is_found_by_what_is_needed_for_it(case: Case, untouched: Scene, tmp_path: Path) -> None:
    """By chain and numbers, by what is signed on the same disk, by a checkpoint kept elsewhere: as the table says."""
    scene = untouched.on(tmp_path / "state")
    case.attack(scene)
    given = {
        "chain": _by_chain(scene, tmp_path / "chain"),
        "disk": verify(scene.state, public_keys=[scene.public_key]),
        "elsewhere": verify(scene.state, public_keys=[scene.public_key], since=scene.kept),
    }
    assert {name for name, found in given.items() if not found.intact} == case.found_by
    assert _found(given["elsewhere"]) == case.found


def test_the_table_is_the_one_of_the_threat_model() -> None:
    """Eighteen attacks: chain and numbers find 6, what is signed on the same disk 13, a checkpoint elsewhere 17."""
    names = {case.attack.__name__ for case in CASES}
    finds = {name: sum(name in case.found_by for case in CASES) for name in ALL}
    assert (len(names), finds) == (18, {"chain": 6, "disk": 13, "elsewhere": 17})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.attack.__name__)
def test_what_was_remembered_is_as_good_as_what_was_kept(case: Case, untouched: Scene, tmp_path: Path) -> None:
    """Whoever verified before the attack finds what a checkpoint kept elsewhere finds, with nothing to hand over."""
    scene = untouched.on(tmp_path / "state")
    memory = tmp_path / "memory"
    assert verify(scene.state, memory=memory).intact
    case.attack(scene)
    assert verify(scene.state, memory=memory).intact != ("elsewhere" in case.found_by)
