"""When a witness cosigns, when it does not, and what it keeps of those it refused."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from authz.tlog import Checkpoint, MalformedError, Signer, VerifierKey, add_signatures, signature_line
from authz.witness import (
    AddCheckpoint,
    CannotCosignError,
    ConflictError,
    InconsistentError,
    Store,
    UnknownOriginError,
    UnsignedError,
    Witness,
)
from authz.witness.store import MAX_ORIGINS, MAX_REFUSALS, Cosigned, Refusal
from tests.properties import many

from .logs import COSIGNER, NOW, ORIGIN, SIGNER, Log, cosigned_at


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty memory."""
    return Store(tmp_path / "witness.db")


@pytest.fixture
def clock() -> Clock:
    """Stands at NOW."""
    return Clock()


@pytest.fixture
def witness(store: Store, clock: Clock) -> Witness:
    """Knows the node's key."""
    return Witness([SIGNER.verifier], COSIGNER, store, clock)


def _refused(witness: Witness, body: bytes) -> tuple[type[Exception], int | None]:
    try:
        witness.add_checkpoint(body)
    except (
        MalformedError,
        CannotCosignError,
        ConflictError,
        InconsistentError,
        UnknownOriginError,
        UnsignedError,
    ) as no:
        return type(no), getattr(no, "size", None)
    raise AssertionError("it was cosigned")


def test_a_log_that_grows_is_cosigned(witness: Witness, clock: Clock) -> None:
    """From nothing, from each size to the next, and again at the same size; each time as of now."""
    log = Log()
    for old, size in ((0, 1), (1, 1), (1, 2), (2, 8), (8, 13), (13, 13), (13, 64)):
        clock.now += 1
        assert cosigned_at(log.note(size), witness.add_checkpoint(log.body(old, size))) == clock.now


def test_the_vector_of_the_formats_holds(store: Store) -> None:
    """A checkpoint of eight leaves and its cosignature, byte for byte as Go and Tessera verified them."""
    note = (
        "audit.example/ledger1\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n"
        "— audit.example/ledger1 "
        "Za0cKJGfP4OaXE0PMEHwkJtaMjTlnZWVSxA8jz6kH5plRHHXhe/WzqMKEIN1Bu3DeEwfbZckls4oY2Ww1GB9UYQVaQ8=\n"
    )
    line = (
        "— witness.example/w1 "
        "IDJKvgAAAABpJIEA5F49SQ2UuzSKkremkxmM3nBgfo/0RDL/nBpYwgwYFwrY8Ggg+QtBaho9Aiw38jMirFh4tVY0EHX3oQ5lPsMSDw==\n"
    )
    key = VerifierKey.read("audit.example/ledger1+65ad1c28+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4")
    witness = Witness([key], COSIGNER, store, Clock(1_764_000_000))
    answer = witness.add_checkpoint(AddCheckpoint(0, (), note.encode()).write())
    assert answer.decode() == line
    assert witness.last("audit.example/ledger1") == (note + line).encode()


def test_a_size_that_is_not_the_last_one_is_a_conflict(witness: Witness) -> None:
    """Too small, too large, or none where there is one: it tells the size that counts."""
    log = Log()
    assert _refused(witness, log.body(3, 8)) == (ConflictError, 0)
    witness.add_checkpoint(log.body(0, 8))
    assert [_refused(witness, log.body(old, 12)) for old in (0, 7, 9, 12)] == [(ConflictError, 8)] * 4
    assert _refused(witness, log.body(0, 8)) == (ConflictError, 8)
    assert _refused(witness, log.body(4, 4)) == (ConflictError, 8)


def test_old_above_the_checkpoint_is_malformed(witness: Witness) -> None:
    """Whatever is remembered."""
    witness.add_checkpoint(Log().body(0, 8))
    assert _refused(witness, Log().body(8, 7)) == (MalformedError, None)


def test_a_fork_is_refused_wherever_it_begins(witness: Witness) -> None:
    """Signed with the real key: another tree of the size is a conflict, a larger one has no proof."""
    witness.add_checkpoint(Log().body(0, 8))
    for forked_at in range(8):
        fork = Log(forked_at)
        assert _refused(witness, fork.body(8, 8)) == (ConflictError, 8)
        assert _refused(witness, fork.body(8, 9)) == (InconsistentError, None)
        assert _refused(witness, fork.body(8, 16)) == (InconsistentError, None)
    witness.add_checkpoint(Log(8).body(8, 16))


def test_a_proof_has_to_be_the_proof(witness: Witness) -> None:
    """Missing, cut, longer, of other sizes, or there where it must be empty."""
    log = Log()
    note, (first, *rest) = log.note(13), log.asked(6, 13).proof
    assert _refused(witness, AddCheckpoint(0, (first,), note).write()) == (InconsistentError, None)
    witness.add_checkpoint(log.body(0, 6))
    for proof in ((), (first,), tuple(rest), (first, *rest, first), (*rest, first), log.asked(5, 13).proof):
        assert _refused(witness, AddCheckpoint(6, proof, note).write()) == (InconsistentError, None)
    assert _refused(witness, AddCheckpoint(6, (first,), log.note(6)).write()) == (InconsistentError, None)
    witness.add_checkpoint(log.body(6, 13))


@pytest.mark.parametrize("origin", ["node.example.org/auditor", "node.exampl", "node.examplex", "other/node.example"])
def test_a_log_without_a_key_is_unknown(witness: Witness, origin: str) -> None:
    """A key covers its own name and what is below it, and nothing that only begins like it."""
    assert _refused(witness, Log(origin=origin).body(0, 3)) == (UnknownOriginError, None)


def test_logs_of_a_node_are_apart(witness: Witness) -> None:
    """Each name has its own history, the node's own name too."""
    for origin in ("node.example", "node.example/auditor", "node.example/worker-0"):
        for old, size in ((0, 3), (3, 5)):
            log = Log(origin=origin)
            assert cosigned_at(log.note(size), witness.add_checkpoint(log.body(old, size))) == NOW


def test_only_the_key_of_the_log_counts(witness: Witness) -> None:
    """Another key under the same name, the right key for another text, and a known key whose signature is broken."""
    stranger = Log(signer=Signer("node.example", bytes(32)))
    assert _refused(witness, stranger.body(0, 3)) == (UnsignedError, None)
    own, others = Log().note(3), Log().note(4)
    moved = own.replace(own.split(b"\n")[-2], others.split(b"\n")[-2])
    assert _refused(witness, AddCheckpoint(0, (), moved).write()) == (UnsignedError, None)


def test_either_of_two_keys_counts(store: Store, clock: Clock) -> None:
    """While a log changes its key, the witness knows both."""
    old, new = SIGNER, Signer("node.example", b"n" * 32)
    witness = Witness([new.verifier, old.verifier], COSIGNER, store, clock)
    witness.add_checkpoint(Log(signer=old).body(0, 3))
    witness.add_checkpoint(Log(signer=new).body(3, 5))


def test_signatures_of_strangers_are_neither_looked_at_nor_kept(witness: Witness) -> None:
    """A note may carry any number of them; what is kept is the log's signature and the witness's."""
    log = Log()
    junk = signature_line("someone.example", b"abcd", b"x" * 64)
    note = add_signatures(log.note(3), [junk])
    answer = witness.add_checkpoint(AddCheckpoint(0, (), note).write())
    assert witness.last(ORIGIN) == log.note(3) + answer


@pytest.mark.parametrize(
    "text",
    ["", "node.example/auditor\n", "node.example/auditor\n3\n", "node.example/auditor\n03\nAAAA\n", "\n3\nAAAA\n"],
)
def test_what_is_no_checkpoint_is_malformed(witness: Witness, text: str) -> None:
    """Signed or not."""
    note = SIGNER.named(ORIGIN).sign(text) if text else b"no note"
    assert _refused(witness, AddCheckpoint(0, (), note).write()) == (MalformedError, None)


def test_an_empty_log_can_be_cosigned(witness: Witness) -> None:
    """And grows from there; its root can only be the one of no leaves."""
    log = Log()
    assert cosigned_at(log.note(0), witness.add_checkpoint(log.body(0, 0))) == NOW
    assert cosigned_at(log.note(5), witness.add_checkpoint(log.body(0, 5))) == NOW


def test_evidence_is_kept_and_ignorance_is_not(witness: Witness, store: Store) -> None:
    """A second tree, a step back and a wrong proof are kept with all that was sent; a wrong `old` alone is not."""
    log, fork = Log(), Log(3)
    witness.add_checkpoint(log.body(0, 8))
    sent = [fork.body(8, 8), fork.body(8, 12), fork.body(0, 5), log.body(0, 8), log.body(2, 12)]
    for body in [*sent, *sent]:
        _refused(witness, body)
    assert store.refusals(ORIGIN) == [
        Refusal(fork.checkpoint(8), "fork", 8, sent[0], NOW),
        Refusal(fork.checkpoint(12), "inconsistent", 8, sent[1], NOW),
        Refusal(fork.checkpoint(5), "behind", 8, sent[2], NOW),
    ]


@pytest.mark.slow
def test_noise_does_not_crowd_out_evidence(store: Store) -> None:
    """So many of each reason are kept, and the first ones; a fork has room however much of the others there is."""
    for size in range(MAX_REFUSALS + 5):
        kept = store.keep(Refusal(Checkpoint(ORIGIN, size, bytes(32)), "behind", 9, b"", NOW))
        assert kept == (size < MAX_REFUSALS)
    assert store.keep(Refusal(Checkpoint(ORIGIN, 1, bytes(32)), "fork", 9, b"", NOW))
    assert len(store.refusals(ORIGIN)) == MAX_REFUSALS + 1


def test_time_never_goes_back(witness: Witness, clock: Clock, store: Store) -> None:
    """A small step back repeats the last time; a large one is not signed over unless an operator says so."""
    log = Log()
    witness.add_checkpoint(log.body(0, 1))
    clock.now = NOW - 60
    assert cosigned_at(log.note(2), witness.add_checkpoint(log.body(1, 2))) == NOW
    clock.now = NOW - 61
    assert _refused(witness, log.body(2, 3)) == (CannotCosignError, None)
    told = Witness([SIGNER.verifier], COSIGNER, store, clock, clock_was_wrong=True)
    assert cosigned_at(log.note(3), told.add_checkpoint(log.body(2, 3))) == NOW - 61
    assert cosigned_at(log.note(4), witness.add_checkpoint(log.body(3, 4))) == NOW - 61


def test_a_clock_that_was_never_set_signs_nothing(witness: Witness, clock: Clock) -> None:
    """A machine without a battery begins in 1970."""
    clock.now = 1_735_689_599
    assert _refused(witness, Log().body(0, 1)) == (CannotCosignError, None)
    clock.now += 1
    assert cosigned_at(Log().note(1), witness.add_checkpoint(Log().body(0, 1))) == clock.now


def test_a_key_can_invent_only_so_many_logs(witness: Witness, store: Store) -> None:
    """Those that are remembered go on; a further one is refused and takes no room."""
    with store._changing() as connection:
        rows = [(f"node.example/{at}", 1, bytes(32), NOW, b"") for at in range(MAX_ORIGINS - 1)]
        connection.executemany("INSERT INTO cosigned VALUES (?, ?, ?, ?, ?)", rows)
    witness.add_checkpoint(Log().body(0, 3))
    assert _refused(witness, Log(origin="node.example/more").body(0, 3)) == (CannotCosignError, None)
    assert store.last("node.example/more") is None
    witness.add_checkpoint(Log().body(3, 5))


def test_a_memory_in_trouble_signs_nothing(tmp_path: Path, clock: Clock) -> None:
    """A disk that cannot be read or written is not an empty memory; when it is back, so is the witness."""
    place = tmp_path / "gone"
    witness = Witness([SIGNER.verifier], COSIGNER, Store(place / "witness.db"), clock)
    assert _refused(witness, Log().body(0, 3)) == (CannotCosignError, None)
    place.mkdir()
    witness.add_checkpoint(Log().body(0, 3))
    (place / "witness.db").write_bytes(b"no database" * 1000)
    other = Witness([SIGNER.verifier], COSIGNER, Store(place / "witness.db"), clock)
    assert _refused(other, Log().body(3, 5)) == (CannotCosignError, None)


@pytest.mark.parametrize("size_before", [0, 5])
def test_whoever_comes_second_is_told_so(tmp_path: Path, size_before: int) -> None:
    """Two witnesses on one memory: of two checkpoints from the same size one is cosigned, the first one ever too."""
    log, path = Log(), tmp_path / "witness.db"
    first = Store(path)
    if size_before:
        assert first.advance(None, Cosigned(log.checkpoint(size_before), NOW, b"before"))
    before, theirs = first.last(ORIGIN), Cosigned(Log(5).checkpoint(9), NOW, b"theirs")

    class Overtaken(Store):
        """In between reading and writing somebody else writes."""

        def last(self, origin: str) -> Cosigned | None:
            found = super().last(origin)
            first.advance(before, theirs)
            return found

    witness = Witness([SIGNER.verifier], COSIGNER, Overtaken(path), Clock())
    assert _refused(witness, log.body(size_before, 7)) == (ConflictError, 9)
    assert first.last(ORIGIN) == theirs


class TwoHistories(RuleBasedStateMachine):
    """A log whose key signs two histories that part at leaf 5, and everything a client of either could send."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.memory = Store(Path(self.directory.name) / "witness.db")
        self.logs = (Log(size=20), Log(5, size=20))
        self.cosigned: list[Checkpoint] = []

    @rule(which=st.sampled_from([0, 1]), old=st.integers(0, 20), size=st.integers(0, 20), proven=st.integers(0, 20))
    def ask(self, which: int, old: int, size: int, proven: int) -> None:
        """Any size, with a right proof or one for another size."""
        log = self.logs[which]
        witness = Witness([SIGNER.verifier], COSIGNER, self.memory, Clock())
        body = AddCheckpoint(old, log.asked(proven, size).proof, log.note(size)).write()
        try:
            answer = witness.add_checkpoint(body)
        except (MalformedError, ConflictError, InconsistentError):
            return
        assert cosigned_at(log.note(size), answer) == NOW
        self.cosigned.append(log.checkpoint(size))

    @rule(which=st.sampled_from([0, 1]), more=st.integers(0, 20))
    def ask_well(self, which: int, more: int) -> None:
        """What an honest client sends who knows what was cosigned last."""
        size = self.cosigned[-1].size if self.cosigned else 0
        self.ask(which, size, min(20, size + more), size)

    @rule()
    def restart(self) -> None:
        """The memory outlives the process."""
        self.memory.close()

    @invariant()
    def all_cosigned_are_of_one_history(self) -> None:
        """No two of them disagree, and none is smaller than the one before."""
        ones = [{each.checkpoint(size).root for size in range(21)} for each in self.logs]
        assert any(all(each.root in one for each in self.cosigned) for one in ones)
        sizes = [each.size for each in self.cosigned]
        assert sizes == sorted(sizes)

    def teardown(self) -> None:
        self.memory.close()
        self.directory.cleanup()


def test_no_two_cosigned_checkpoints_ever_disagree() -> None:
    """Whatever is asked, in whatever order, with the log's real key."""
    run_state_machine_as_test(TwoHistories, settings=settings(many, max_examples=30, stateful_step_count=20))
