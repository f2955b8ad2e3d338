"""Who may do what, and who gains and who loses by a change: everything that an exhaustive search finds, no more."""

import os
import random
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from authz import bundle
from authz.engine import EmbeddedPolicy
from authz.policy.access import Compared, difference_of, in_words, matrix_of
from authz.policy.access.grid import Dimension, Grid, Value
from authz.policy.access.words import _bits, _cover
from authz.policy.opened import Opened
from tests.policy.access_oracle import Data, allows
from tests.policy.conftest import ROOT
from tests.policy.mutations import NOW, mutated
from tests.properties import many

MUTATIONS = int(os.environ.get("AUTHZ_TEST_MUTATIONS", "8"))


def shipped_data() -> Data:
    """The default policy's roles, scopes and routes."""
    tables = ("roles", "scopes", "routes")
    return {name: yaml.safe_load((ROOT / "policies" / "authz" / name / "data.yaml").read_text()) for name in tables}


def with_data(data: Data, name: str, room: Path, opa: Path) -> Opened:
    """The shipped rules over other data, with the closure that Rego computes from them."""
    document = room / f"{name}.json"
    document.write_bytes(msgspec.json.encode({"authz": data}))
    rules = [str(path) for path in (ROOT / "policies").rglob("*.rego") if not path.name.endswith("_test.rego")]
    arguments = [argument for path in (*rules, str(document)) for argument in ("--data", path)]
    command = [str(opa), "eval", "--format", "raw", *arguments, "data.authz.index.closure"]
    closure = msgspec.json.decode(subprocess.run(command, capture_output=True, check=True).stdout)
    shipped = bundle.read_shipped()
    encoded = msgspec.json.encode({"authz": {**data, "closure": closure}})
    policy = EmbeddedPolicy.load(shipped.wasm, encoded, name, deadline_seconds=5.0)
    return Opened(name, policy, encoded)


def disagreements(compared: Compared, old: Data, new: Data) -> list[Any]:
    """Cells that are not what the oracle says, at any point; and changes that are missing or invented."""
    wrong: list[Any] = []
    expected = set()
    for holder in compared.asked.holders:
        for request in compared.asked.requests:
            points = list(compared.asked.grid(request).points())
            before, after = (
                sum(allows(data, holder, request, point) << bit for bit, point in enumerate(points))
                for data in (old, new)
            )
            if (compared.old.cells[holder, request], compared.new.cells[holder, request]) != (before, after):
                wrong.append((holder, request))
            expected |= {("gain", holder, request)} if after & ~before else set()
            expected |= {("loss", holder, request)} if before & ~after else set()
    found = [(change.kind, change.holder, change.request) for change in compared.difference.changes]
    return wrong + sorted(set(found) ^ expected) + [each for each in found if found.count(each) > 1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_every_gain_and_loss_is_found_and_none_is_invented(opa_binary: Path, tmp_path: Path) -> None:
    """The difference of two policies is what trying every role, scope and route in all circumstances finds."""
    changed = 0
    for seed in range(MUTATIONS):
        dice = random.Random(seed)
        old = mutated(dice, shipped_data(), dice.randint(0, 3))
        new = mutated(dice, old, dice.randint(1, 3))
        sides = [with_data(data, name, tmp_path, opa_binary) for name, data in (("old", old), ("new", new))]
        compared = await difference_of(sides[0], sides[1], now=NOW)
        assert disagreements(compared, old, new) == [], f"seed {seed}"
        assert compared.old.undecided == compared.new.undecided == 0
        changed += bool(compared.difference.changes)
        for side in sides:
            side.policy.close()
    assert changed > MUTATIONS // 2


async def test_a_gain_names_the_way_it_came(opa_binary: Path, tmp_path: Path) -> None:
    """A role that gains a scope by another role is told so, and so are the routes that open."""
    old, new = shipped_data(), shipped_data()
    new["roles"]["tools"] = {"scopes": ["memory:write"], "until": NOW + 59}
    new["roles"]["caregiver_basic"]["includes"] = ["tools"]
    sides = [with_data(data, name, tmp_path, opa_binary) for name, data in (("old", old), ("new", new))]
    found = await difference_of(sides[0], sides[1], now=NOW)
    assert [str(each) for each in found.difference.changes if each.holder.name == "caregiver_basic"] == [
        "caregiver_basic GAINS memory:write until 2026-09-21T14:14:19Z through tools",
        "caregiver_basic GAINS POST /memory until 2026-09-21T14:14:19Z",
        "caregiver_basic GAINS PUT /memory/{id} until 2026-09-21T14:14:19Z",
        "caregiver_basic GAINS DELETE /memory/{id} until 2026-09-21T14:14:19Z",
    ]
    assert found.difference.changes[0].key == ("gain role caregiver_basic: memory:write (until 2026-09-21T14:14:19Z)")


async def test_the_same_policy_has_no_changes(opa_binary: Path, tmp_path: Path) -> None:
    """Nobody gains or loses by nothing."""
    one = with_data(shipped_data(), "one", tmp_path, opa_binary)
    found = await difference_of(one, one, now=NOW)
    assert str(found.difference) == "one to one: 0 gains, 0 losses; nobody gains or loses"


async def test_conditions_are_told(opa_binary: Path, tmp_path: Path) -> None:
    """Ownership, authentication and network are shown as conditions, not as yes."""
    data = shipped_data()
    data["scopes"]["user:profile:read"]["require"] = {"acr": ["gold", "silver"], "cidr": ["10.0.0.0/8"]}
    found = await matrix_of(with_data(data, "one", tmp_path, opa_binary), now=NOW)
    words = {
        (holder.name, str(request)): in_words(found.asked.grid(request), bits)
        for (holder, request), bits in found.table.cells.items()
        if bits
    }
    assert words["user_basic", "GET /users/{id}/profile"] == (
        "on their own {id}, with acr gold or silver, from 10.0.0.0/8"
    )
    assert words["admin_readonly", "GET /users/{id}/profile"] == ""
    assert words["user_basic", "user:profile:read"] == "with acr gold or silver, from 10.0.0.0/8"


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@many
@given(SIZES, st.data())
def test_words_cover_exactly_what_was_chosen(sizes: list[int], data: st.DataObject) -> None:
    """The boxes that are put into words hold every chosen point and no other."""
    points = 1
    for size in sizes:
        points *= size
    chosen = data.draw(st.integers(1, (1 << points) - 1))
    covered = 0
    for box in _cover(tuple(sizes), chosen):
        covered |= _bits(tuple(sizes), box)
    assert covered == chosen


def test_points_and_bits_are_in_one_order() -> None:
    """Bit n of a cell is point n of its grid."""
    owns = Dimension("own", (Value("id"), Value("id", own="id")))
    grid = Grid((owns, Dimension("acr", (Value(""), Value("gold", claims={"acr": "gold"})))))
    assert [(sorted(point.own), point.claims) for point in grid.points()] == [
        ([], {}),
        ([], {"acr": "gold"}),
        (["id"], {}),
        (["id"], {"acr": "gold"}),
    ]
    assert [in_words(grid, 1 << bit) for bit in range(4)] == [
        "on someone else's {id}, without acr",
        "on someone else's {id}, with acr gold",
        "on their own {id}, without acr",
        "on their own {id}, with acr gold",
    ]
