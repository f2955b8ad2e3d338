"""What the policy answers is held to the contract: whatever is not exactly a valid allow is no allow."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz.core import (
    BREACH,
    POLICY_ALLOWS,
    POLICY_DENIES,
    REASONS,
    UNDEFINED,
    Action,
    Catalogue,
    CatalogueRoute,
    ContractBreach,
    Explanation,
    Limit,
    Parameter,
    PolicyDecision,
    ResourceDocument,
    Route,
    Subject,
    batch_document,
    check_document,
    nesting_within,
    read_catalogue,
    read_decision,
    read_decisions,
    read_explanation,
    subject_document,
)
from tests.properties import many

ALLOW: dict[str, Any] = {"allow": True, "reason": "scope_granted", "scopes": ["memory:read"]}
DENY: dict[str, Any] = {
    "allow": False,
    "reason": "scope_missing",
    "scopes": ["memory:read"],
    "missing": ["memory:read"],
}
LIMIT: dict[str, Any] = {"scope": "ai:chat", "count": 5, "per_seconds": 60}
ALLOWED = PolicyDecision(allow=True, reason="scope_granted", scopes=("memory:read",))
DENIED = PolicyDecision(allow=False, reason="scope_missing", scopes=("memory:read",), missing=("memory:read",))


def result_set(*results: Any) -> bytes:
    return json.dumps([{"result": result} for result in results]).encode()


def without(document: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != member}


def test_a_valid_decision_is_read_whole() -> None:
    """Every member of the contract comes through as the policy said it."""
    said = ALLOW | {
        "missing": [],
        "limits": [LIMIT, LIMIT | {"burst": 9}],
        "headers": {"X-Tenant": "acme", "X-Empty": ""},
        "granted_by": {"memory:read": ["user_basic", "token"]},
    }
    assert read_decision(result_set(said)) == PolicyDecision(
        allow=True,
        reason="scope_granted",
        scopes=("memory:read",),
        limits=(Limit("ai:chat", 5, 60), Limit("ai:chat", 5, 60, 9)),
        headers={"X-Tenant": "acme", "X-Empty": ""},
        granted_by={"memory:read": ("user_basic", "token")},
    )


def test_a_denial_is_read_whole() -> None:
    """A denial says what was needed and what of it is missing."""
    assert read_decision(result_set(DENY)) == DENIED


def test_undefined_is_a_denial_of_its_own() -> None:
    """An empty result set is `policy_undefined`, and no allow."""
    assert read_decision(b"[]") == UNDEFINED
    assert PolicyDecision(allow=False, reason="policy_undefined", scopes=()) == UNDEFINED


BREACHES = {
    "no JSON": b"",
    "cut off": b'[{"result": {"allow": true, "reason": "scope_granted", "scopes": []}}',
    "trailing text": result_set(ALLOW) + b"x",
    "invalid UTF-8": b'[{"result": {"allow": true, "reason": "scope_granted", "scopes": ["\xff"]}}]',
    "lone surrogate": b'[{"result": {"allow": true, "reason": "scope_granted", "scopes": ["\\ud800"]}}]',
    "nested too deep to read": b'[{"beside": ' + b"[" * 100_000,
    "null": b"null",
    "true": b"true",
    "a bare decision": json.dumps(ALLOW).encode(),
    "a bare result": json.dumps({"result": ALLOW}).encode(),
    "no result": b"[{}]",
    "null result": result_set(None),
    "true result": result_set(True),
    "array result": result_set([ALLOW]),
    "two results": result_set(ALLOW, ALLOW),
    "no allow": result_set(without(ALLOW, "allow")),
    "no reason": result_set(without(ALLOW, "reason")),
    "no scopes": result_set(without(ALLOW, "scopes")),
    'allow: "true"': result_set(ALLOW | {"allow": "true"}),
    "allow: 1": result_set(ALLOW | {"allow": 1}),
    "allow: [true]": result_set(ALLOW | {"allow": [True]}),
    "allow: null": result_set(ALLOW | {"allow": None}),
    "reason: null": result_set(ALLOW | {"reason": None}),
    "reason: empty": result_set(ALLOW | {"reason": ""}),
    "reason nobody knows": result_set(ALLOW | {"reason": "because"}),
    "reason with other letters": result_set(ALLOW | {"reason": "Scope_Granted"}),
    "scopes: string": result_set(ALLOW | {"scopes": "memory:read"}),
    "scopes: object": result_set(ALLOW | {"scopes": {"memory:read": True}}),
    "scopes: null": result_set(ALLOW | {"scopes": None}),
    "scopes: of numbers": result_set(ALLOW | {"scopes": [1]}),
    "missing: string": result_set(DENY | {"missing": "memory:read"}),
    "an allow that misses something": result_set(ALLOW | {"missing": ["memory:write"]}),
    "limits: object": result_set(ALLOW | {"limits": LIMIT}),
    "limit without scope": result_set(ALLOW | {"limits": [without(LIMIT, "scope")]}),
    "limit of none": result_set(ALLOW | {"limits": [LIMIT | {"count": 0}]}),
    "limit below none": result_set(ALLOW | {"limits": [LIMIT | {"count": -1}]}),
    "limit in no time": result_set(ALLOW | {"limits": [LIMIT | {"per_seconds": 0}]}),
    "limit without a burst": result_set(ALLOW | {"limits": [LIMIT | {"burst": 0}]}),
    "limit of too many": result_set(ALLOW | {"limits": [LIMIT | {"count": 1_000_001}]}),
    "limit with too large a burst": result_set(ALLOW | {"limits": [LIMIT | {"burst": 1_000_001}]}),
    "limit that outlives us": result_set(ALLOW | {"limits": [{"scope": "a", "count": 1, "per_seconds": 31_622_401}]}),
    "too many limits": result_set(ALLOW | {"limits": [LIMIT] * 17}),
    "limit of a long name": result_set(ALLOW | {"limits": [LIMIT | {"scope": "s" * 257}]}),
    "limit that is no number": result_set(ALLOW | {"limits": [LIMIT | {"count": "5"}]}),
    "limit that is a fraction": result_set(ALLOW | {"limits": [LIMIT | {"count": 5.5}]}),
    "limit with more": result_set(ALLOW | {"limits": [LIMIT | {"window": "sliding"}]}),
    "more than a record holds": result_set(ALLOW | {"scopes": ["s" * 10_200]}),
    "granted_by: array": result_set(ALLOW | {"granted_by": ["user"]}),
    "granted_by: of strings": result_set(ALLOW | {"granted_by": {"memory:read": "user"}}),
    "one member too many": result_set(ALLOW | {"obligations": []}),
    "headers: array": result_set(ALLOW | {"headers": ["X-A"]}),
    "header that is no string": result_set(ALLOW | {"headers": {"X-A": 1}}),
    "header with CRLF": result_set(ALLOW | {"headers": {"X-A": "a\r\nX-B: b"}}),
    "header with LF at the end": result_set(ALLOW | {"headers": {"X-A": "a\n"}}),
    "header with NUL": result_set(ALLOW | {"headers": {"X-A": "\x00"}}),
    "header beyond ASCII": result_set(ALLOW | {"headers": {"X-A": "é"}}),
    "header too long": result_set(ALLOW | {"headers": {"X-A": "a" * 1025}}),
    "header without a name": result_set(ALLOW | {"headers": {"": "a"}}),
    "name with CRLF": result_set(ALLOW | {"headers": {"X-A\r\nX-B": "a"}}),
    "name with LF at the end": result_set(ALLOW | {"headers": {"X-A\n": "a"}}),
    "name with a colon": result_set(ALLOW | {"headers": {"X-A:": "a"}}),
    "name with an underscore": result_set(ALLOW | {"headers": {"X_Authz_Subject": "a"}}),
    "name beyond ASCII": result_set(ALLOW | {"headers": {"X-É": "a"}}),
    "one name in two spellings": result_set(ALLOW | {"headers": {"X-A": "a", "x-a": "b"}}),
}


@pytest.mark.parametrize("answer", BREACHES.values(), ids=BREACHES.keys())
def test_anything_outside_the_contract_is_a_breach(answer: bytes) -> None:
    """An answer outside the contract is `policy_contract`, and no allow, whatever else it says."""
    assert read_decision(answer) == BREACH
    assert PolicyDecision(allow=False, reason="policy_contract", scopes=()) == BREACH


OURS = [
    "X-Authz-Subject",
    "X-Authz-Roles",
    "X-Authz-Scopes",
    "X-Decision-Id",
    "X-Request-ID",
    "Content-Length",
    "Content-Type",
    "Transfer-Encoding",
    "Connection",
    "Cache-Control",
    "WWW-Authenticate",
    "x-envoy-auth-headers-to-remove",
]


@pytest.mark.parametrize("name", OURS)
def test_a_header_of_ours_is_not_the_policys(name: str) -> None:
    """A policy cannot set the headers that this service or HTTP owns, in any spelling."""
    for spelling in (name, name.lower(), name.upper()):
        assert read_decision(result_set(ALLOW | {"headers": {spelling: "root"}})) == BREACH


@pytest.mark.parametrize("reason", [*REASONS, "too_old_to_drive"])
def test_each_side_has_its_own_reasons(reason: str) -> None:
    """A policy may allow and deny only with the reasons that are its own, and each only on its side."""
    allow = read_decision(result_set({"allow": True, "reason": reason, "scopes": []}))
    deny = read_decision(result_set({"allow": False, "reason": reason, "scopes": []}))
    assert allow == (PolicyDecision(True, reason, ()) if reason in POLICY_ALLOWS else BREACH)
    assert deny == (PolicyDecision(False, reason, ()) if reason in POLICY_DENIES else BREACH)


def test_a_declared_reason_denies_and_never_allows() -> None:
    """A reason that the catalogue declares may deny; with it or not, it cannot allow."""
    declared = frozenset({"too_young"})
    deny = {"allow": False, "reason": "too_young", "scopes": []}
    assert read_decision(result_set(deny), declared) == PolicyDecision(False, "too_young", ())
    assert read_decision(result_set(deny)) == BREACH
    assert read_decision(result_set(deny | {"allow": True}), declared) == BREACH
    assert read_decision(result_set(ALLOW), declared) == ALLOWED


def valid_allow(document: Any) -> bool:
    """Whether a parsed result set is exactly one allow within the contract, spelled out once more by hand."""
    if not isinstance(document, list) or len(document) != 1 or not isinstance(document[0], dict):
        return False
    result = document[0].get("result")
    if not isinstance(result, dict):
        return False
    known = {"allow", "reason", "scopes", "missing", "limits", "headers", "granted_by"}
    return (
        result.get("allow") is True
        and result.get("reason") in ("scope_granted", "public_route")
        and names(result.get("scopes"))
        and result.get("missing", []) == []
        and set(result) <= known
        and result.get("limits", []) == []
        and result.get("headers", {}) == {}
        and isinstance(result.get("granted_by", {}), dict)
        and all(map(names, result.get("granted_by", {}).values()))
    )


def names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {
        "allow": st.just(True) | st.sampled_from(["true", 1, "yes", [True], None]),
        "reason": st.sampled_from(["scope_granted", "public_route", "scope_missing", None, "x"]),
        "scopes": st.just(["memory:read"]) | st.just([]) | JSON,
    },
    optional={
        "missing": st.just([]) | JSON,
        "limits": st.just([]) | st.sampled_from([0, "", {}, [1]]),
        "headers": st.just({}) | st.sampled_from([0, [], {"X-A": "\n"}]),
        "granted_by": st.just({}) | st.just({"a": ["b"]}) | JSON,
        "more": JSON,
    },
)
RESULT_SETS = JSON | st.lists(st.fixed_dictionaries({"result": NEARLY | JSON}) | JSON, max_size=2)


@many
@given(RESULT_SETS)
@example([{"result": ALLOW}])
@example([{"result": ALLOW}, {"result": ALLOW}])
def test_only_a_valid_allow_is_an_allow(document: Any) -> None:
    """Arbitrary JSON as a result set never allows, unless it is exactly a valid allow."""
    encoded = json.dumps(document).encode()
    assert read_decision(encoded).allow is valid_allow(document)
    many_read = read_decisions(encoded, 1)
    assert many_read is None or not many_read[0].allow


@many
@given(st.binary(max_size=64))
def test_arbitrary_bytes_never_allow(answer: bytes) -> None:
    """Whatever bytes an engine hands back, they are read as a denial."""
    assert read_decision(answer) in (BREACH, UNDEFINED)


def test_a_batch_is_read_in_order() -> None:
    """One answer for each check, in the order of the checks, each held to the contract by itself."""
    answer = result_set([ALLOW, DENY, ALLOW | {"reason": "because"}, DENY | {"reason": "too_young"}])
    too_young = PolicyDecision(False, "too_young", ("memory:read",), ("memory:read",))
    assert read_decisions(answer, 4, frozenset({"too_young"})) == (ALLOWED, DENIED, BREACH, too_young)
    assert read_decisions(result_set([]), 0) == ()


def test_who_has_very_many_roles_is_not_denied_for_it() -> None:
    """An answer that is too long for its `granted_by` is what it says without it, alone and among others."""
    long = ALLOW | {"granted_by": {"memory:read": [f"role-{number}" for number in range(1000)]}}
    assert read_decision(result_set(long)) == ALLOWED
    assert read_decisions(result_set([long, DENY]), 2) == (ALLOWED, DENIED)


def test_an_item_that_is_too_long_is_a_breach_of_its_own() -> None:
    """A batch may be longer than the answer to one check: only the item that is too long is thrown away."""
    long = ALLOW | {"scopes": ["s" * 10_200]}
    assert read_decisions(result_set([ALLOW, long] + [DENY] * 200), 202) == (ALLOWED, BREACH) + (DENIED,) * 200


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_batch_of_another_length_is_thrown_away(count: int) -> None:
    """When an item vanished its neighbours moved up: no answer of the batch can be used."""
    assert read_decisions(result_set([ALLOW, DENY]), count) is None


USELESS_BATCHES = {
    "undefined": b"[]",
    "no JSON": b"x",
    "invalid UTF-8": b'[{"result": ["\xff"]}]',
    "nested too deep to read": b'[{"beside": ' + b"[" * 100_000,
    "two results": result_set([ALLOW], [ALLOW]),
    "a single decision": result_set(ALLOW),
    "a malformed item": result_set([ALLOW | {"allow": 1}]),
    "a null item": result_set([None]),
    "an object of items": result_set({"0": ALLOW}),
}


@pytest.mark.parametrize("answer", USELESS_BATCHES.values(), ids=USELESS_BATCHES.keys())
def test_a_batch_that_cannot_be_read_is_no_answer(answer: bytes) -> None:
    """A batch with one item that cannot be read is thrown away whole."""
    assert read_decisions(answer, 1) is None


def test_an_explanation_is_read_or_there_is_none() -> None:
    """An explanation comes through whole; one that cannot be read is none at all."""
    said = {"held": {"memory:read": ["user"]}, "granted_by": {"memory:read": ["user"]}, "would_grant": ["admin"]}
    expected = Explanation(
        held={"memory:read": ("user",)}, granted_by={"memory:read": ("user",)}, would_grant=("admin",)
    )
    assert read_explanation(result_set(said)) == expected
    for useless in (b"[]", b"x", b"\xff", result_set(None), result_set(said | {"held": ["x"]}), result_set(said, said)):
        assert read_explanation(useless) is None


def test_a_catalogue_is_read_whole() -> None:
    """The catalogue gives scopes, roles, events, reasons and the routes as the route table takes them."""
    said = {
        "scopes": ["memory:read"],
        "roles": ["user_basic"],
        "routes": [
            {"method": "GET", "path": "/health", "public": True},
            {
                "method": "GET",
                "path": "/memory/{id}",
                "host": "api.test",
                "all_of": ["memory:read"],
                "event": "memory.accessed",
                "params": {"id": {"record": "clear", "or_any_of": ["admin:read"]}},
                "accepts": ["encoded_slash", "semicolon"],
            },
        ],
        "events": ["memory.accessed"],
        "reasons": ["too_young"],
    }
    catalogue = read_catalogue(result_set(said))
    assert catalogue == Catalogue(
        scopes=("memory:read",),
        roles=("user_basic",),
        routes=(
            CatalogueRoute(method="GET", path="/health", public=True),
            CatalogueRoute(
                method="GET",
                path="/memory/{id}",
                host="api.test",
                all_of=("memory:read",),
                event="memory.accessed",
                params={"id": Parameter("clear", ("admin:read",))},
                accepts=("encoded_slash", "semicolon"),
            ),
        ),
        events=("memory.accessed",),
        reasons=("too_young",),
    )
    assert catalogue.route_table() == (
        Route(method="GET", path="/health", public=True),
        Route(
            method="GET",
            path="/memory/{id}",
            host="api.test",
            all_of=("memory:read",),
            event="memory.accessed",
            params={"id": Parameter("clear", ("admin:read",))},
            accepts=("encoded_slash", "semicolon"),
        ),
    )


CATALOGUE: dict[str, Any] = {"scopes": [], "roles": [], "routes": []}
BAD_CATALOGUES = {
    "data.authz.catalogue is undefined": b"[]",
    "data.authz.catalogue: Object missing required field `scopes` - at `$[0].result`": result_set({"roles": []}),
    "data.authz.catalogue: Expected `str`, got `int` - at `$[0].result.roles[0]`": result_set(
        CATALOGUE | {"roles": [1]}
    ),
    "data.authz.catalogue: Object contains unknown field `paht` - at `$[0].result.routes[0]`": result_set(
        CATALOGUE | {"routes": [{"method": "GET", "path": "/", "paht": "/"}]}
    ),
    "data.authz.catalogue: Invalid enum value 'keep' - at `$[0].result.routes[0].params[...].record`": result_set(
        CATALOGUE | {"routes": [{"method": "GET", "path": "/{id}", "params": {"id": {"record": "keep"}}}]}
    ),
    "data.authz.catalogue: reasons ['scope_granted', 'token_expired'] are already taken": result_set(
        CATALOGUE | {"reasons": ["too_young", "token_expired", "scope_granted"]}
    ),
}


@pytest.mark.parametrize(("message", "answer"), BAD_CATALOGUES.items(), ids=BAD_CATALOGUES.keys())
def test_a_bad_catalogue_is_refused_by_name(message: str, answer: bytes) -> None:
    """A catalogue that cannot be used is refused with where and why; a declared reason cannot stand in for ours."""
    with pytest.raises(ContractBreach) as caught:
        read_catalogue(answer)
    assert str(caught.value) == message


def test_the_input_document_is_the_contracts() -> None:
    """The policy's input has exactly the members of the contract, and none for what is not known."""
    subject = Subject(
        type="user",
        id="u1",
        source="token",
        pseudonym="h1:k:x",
        roles=("user_basic",),
        scopes=(),
        issuer="https://idp.test",
        properties={"claims": {"acr": "2"}},
        session_id="s1",
    )
    resource = ResourceDocument(
        type="route", id="/memory/42?q", host="api.test", route="/memory/{id}", params={"id": "42"}, properties={"a": 1}
    )
    check = check_document(subject_document(subject), Action("GET", {"b": 2}), resource, {"now": 7, "ip": "192.0.2.1"})
    assert json.loads(check) == {
        "subject": {
            "type": "user",
            "id": "u1",
            "roles": ["user_basic"],
            "scopes": [],
            "issuer": "https://idp.test",
            "properties": {"claims": {"acr": "2"}, "scope_mode": "restrict"},
        },
        "action": {"name": "GET", "properties": {"b": 2}},
        "resource": {
            "type": "route",
            "id": "/memory/42?q",
            "host": "api.test",
            "route": "/memory/{id}",
            "params": {"id": "42"},
            "properties": {"a": 1},
        },
        "context": {"now": 7, "ip": "192.0.2.1"},
    }
    bare = Subject(type="user", id="u1", source="asserted", pseudonym=None, scope_mode="ignore")
    scope = check_document(subject_document(bare), Action("use"), ResourceDocument("scope", "memory:read"), {"now": 7})
    assert json.loads(scope) == {
        "subject": {"type": "user", "id": "u1", "roles": [], "properties": {"scope_mode": "ignore"}},
        "action": {"name": "use", "properties": {}},
        "resource": {"type": "scope", "id": "memory:read"},
        "context": {"now": 7},
    }
    assert json.loads(batch_document([check, scope])) == {"checks": [json.loads(check), json.loads(scope)]}
    assert batch_document([]) == b'{"checks":[]}'


def test_the_scope_mode_is_ours() -> None:
    """`scope_mode` in a subject's properties is never what the policy is told, but how the token is to be read."""
    subject = Subject(
        type="user", id="u1", source="token", pseudonym=None, scope_mode="restrict", properties={"scope_mode": "grant"}
    )
    assert json.loads(bytes(subject_document(subject)))["properties"] == {"scope_mode": "restrict"}


@pytest.mark.parametrize(("kind", "innermost"), [("list", 1), ("list", []), ("dict", 1), ("dict", {})])
def test_nesting_is_counted_in_objects_and_arrays(kind: str, innermost: Any) -> None:
    """`nesting_within` counts each object and array, an empty one too, and nothing else."""
    depth, value = (0 if innermost == 1 else 1), innermost
    while depth < 32:
        depth, value = depth + 1, [value] if kind == "list" else {"a": value, "b": 1}
    assert nesting_within(value)
    assert not nesting_within([value])
    assert not nesting_within({"a": value})
    assert nesting_within(1, 0)
    assert not nesting_within([], 0)
