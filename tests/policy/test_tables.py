"""The default policy's data: what is refused, where, and how it is said."""

from pathlib import Path

import pytest

from authz.policy import build
from tests.policy.conftest import SMALLEST, Problems, Write

SCOPES = "authz/scopes/data.yaml"
ROLES = "authz/roles/data.yaml"
ROUTES = "authz/routes/data.yaml"

SOUND = {"p.rego": SMALLEST, SCOPES: "a: {}\nb: {implies: [a]}\n"}


def route(entry: str, template: str = "/x/{id}") -> str:
    """A routes file with one entry, on line 2."""
    return f"{template}:\n  - {entry}\n"


CASES: dict[str, tuple[str, str, list[str]]] = {
    "a section that is no mapping": ("authz/data.yaml", "roles: [a]", ["1: roles are keyed by name (write a mapping)"]),
    "an entry that is no mapping": (SCOPES, "a: yes", ["1: expected `object`, got `str`"]),
    "a key misspelt": (
        SCOPES,
        "a:\n  description: A\n  disable: true\n",
        ["3: unknown key disable (known: description, implies, disabled, require, limits)"],
    ),
    "a key misspelt, and its scope used": (
        SCOPES,
        "a: {inplies: [b]}\nb: {implies: [a]}\n",
        ["1: unknown key inplies (known: description, implies, disabled, require, limits)"],
    ),
    "a key misspelt deeper": (
        SCOPES,
        "a:\n  require:\n    arc: [gold]\n",
        ["2: require: object contains unknown field `arc`"],
    ),
    "a value of the wrong type": (
        SCOPES,
        "a:\n  limits:\n    - {count: 1, per_seconds: 2}\n    - {count: 0, per_seconds: 2}\n",
        ["4: limits.1.count: expected `int` >= 1"],
    ),
    "a limit that is full again after years": (
        SCOPES,
        "a:\n  limits:\n    - {count: 1, per_seconds: 2}\n    - {count: 1, per_seconds: 86400, burst: 400}\n",
        ["4: cannot be kept (count and burst are at most 1000000, and burst uses are full again within a year)"],
    ),
    "a limit that is none": (
        ROUTES,
        route("{methods: [GET], event: x.y, all_of: [a], limits: [{scope: a, count: 2000000, per_seconds: 1}]}"),
        ["2: cannot be kept (count and burst are at most 1000000, and burst uses are full again within a year)"],
    ),
    "a scope that OpenID Connect has": (
        SCOPES,
        "a: {}\nemail: {}\n",
        ["2: email is OpenID Connect's own and grants nothing (choose another name)"],
    ),
    "a scope that no token can carry": (
        SCOPES,
        "a b: {}\n",
        ["1: 'a b' cannot be a scope (no spaces, quotes, backslashes or control characters)"],
    ),
    "a network that is none": (
        SCOPES,
        "a:\n  require:\n    cidr:\n      - 10.0.0.0/8\n      - 10.0.0.1/8\n",
        ["5: 10.0.0.1/8 is not a network (write 10.0.0.0/8)"],
    ),
    "an implied scope that is not declared": (
        SCOPES,
        "a:\n  implies:\n    - b\n",
        ["3: scope b is not declared (declare it, or mend the name)"],
    ),
    "a role's unknown names, all at once": (
        ROLES,
        "r: {scopes: [a, c]}\ns:\n  includes: [r, t]\n",
        [
            "1: scope c is not declared (declare it, or mend the name)",
            "3: role t is not declared (declare it, or mend the name)",
        ],
    ),
    "an end that is no number": (
        ROLES,
        "r:\n  scopes: [a]\n  until: 2026-12-31\n",
        ["3: until: expected `int`, got `str` (write seconds since 1970)"],
    ),
    "a route without methods": (
        ROUTES,
        route("{all_of: [a], event: x.y}"),
        ["2: object missing required field `methods`"],
    ),
    "a method in small letters": (
        ROUTES,
        route("{methods: [get], all_of: [a], event: x.y}"),
        ["2: methods.0: expected `str` matching regex '^[A-Z]+$'"],
    ),
    "a route that asks for nothing": (
        ROUTES,
        route("{methods: [GET], event: x.y}"),
        ["2: state exactly one of all_of, any_of and public: true"],
    ),
    "a route that asks for two things": (
        ROUTES,
        route("{methods: [GET], all_of: [a], public: true, event: x.y}"),
        ["2: state exactly one of all_of, any_of and public: true"],
    ),
    "a route that asks for none of nothing": (
        ROUTES,
        route("{methods: [GET], all_of: [], event: x.y}"),
        ["2: all_of: expected `array` of length >= 1"],
    ),
    "a public that is not true": (
        ROUTES,
        route("{methods: [GET], public: 'true', event: x.y}"),
        ["2: public: expected `bool`, got `str`"],
    ),
    "a route's unknown scope": (
        ROUTES,
        route("{methods: [GET], any_of: [a, c], event: x.y}"),
        ["2: scope c is not declared (declare it, or mend the name)"],
    ),
    "a limit on another scope": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, limits: [{scope: b, count: 1, per_seconds: 1}]}"),
        ["2: limits b, which this route does not ask for"],
    ),
    "a host with a port": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, host: 'A.example:80'}"),
        ["2: A.example:80 is not a plain host name (lower case, no port)"],
    ),
    "a parameter that the template does not have": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, params: {ID: {record: drop}}}"),
        ["2: /x/{id} has no parameter {ID}"],
    ),
    "a treatment that is none": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, params: {id: {record: keep}}}"),
        ["2: params.record: invalid enum value 'keep'"],
    ),
    "an owner who is someone else": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, params: {id: {owner: admin}}}"),
        ["2: params.owner: invalid enum value 'admin'"],
    ),
    "an exception to nothing": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, params: {id: {or_any_of: [c]}}}"),
        [
            "2: or_any_of is the exception to owner (add owner: subject)",
            "2: scope c is not declared (declare it, or mend the name)",
        ],
    ),
    "an owner of what is public": (
        ROUTES,
        route("{methods: [GET], public: true, event: x.y, params: {id: {owner: subject}}}"),
        ["2: a public route is for everyone: it has no owner"],
    ),
    "two owners": (
        ROUTES,
        route(
            "{methods: [GET], all_of: [a], event: x.y, params: {a: {owner: subject}, b: {owner: subject}}}", "/{a}/{b}"
        ),
        ["2: only one parameter can be the subject's own ID"],
    ),
    "a form that nobody may accept": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, accepts: [dot_dot]}"),
        ["2: accepts.0: invalid enum value 'dot_dot'"],
    ),
    "forms without a parameter": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y, accepts: [encoded_slash]}", "/x"),
        ["2: /x has no parameter whose value could hold these"],
    ),
    "a template that starts nowhere": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y}", "x"),
        ["1: x does not start with / (write /x)"],
    ),
    "a template with an empty segment": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y}", "/x//y"),
        ["1: /x//y has an empty or dotted segment, which no canonical path has"],
    ),
    "a parameter in a segment": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y}", "/x/{id}.json"),
        ["1: /x/{id}.json: a parameter is a whole segment, {name} or {name...}, and nothing is escaped"],
    ),
    "a rest before the end": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y}", "/x/{rest...}/y"),
        ["1: /x/{rest...}/y: {rest...} can only be the last segment"],
    ),
    "a parameter twice": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y}", "/{id}/{id}"),
        ["1: /{id}/{id} names two parameters alike"],
    ),
    "two templates of one shape": (
        ROUTES,
        route("{methods: [GET, PUT], all_of: [a], event: x.y}")
        + route("{methods: [GET], all_of: [b], event: x.y}", "/x/{no}"),
        ["4: GET /x/{no} and GET /x/{id} match the same requests (keep one)"],
    ),
    "one method twice in one template": (
        ROUTES,
        route("{methods: [GET], all_of: [a], event: x.y}") + "  - {methods: [GET], public: true, event: x.y}\n",
        ["3: GET /x/{id} and GET /x/{id} match the same requests (keep one)"],
    ),
    "a preflight beside an OPTIONS": (
        ROUTES,
        route("{methods: [OPTIONS], all_of: [a], event: x.y}")
        + "  - {methods: [GET], all_of: [a], preflight: true, event: x.y}\n",
        ["3: OPTIONS /x/{id} and OPTIONS /x/{id} match the same requests (keep one)"],
    ),
    "the closure": (
        "authz/data.yaml",
        "closure: {}\n",
        ["1: the build writes this itself (remove it)"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_slip_of_the_pen_is_refused(problems: Problems, case: str) -> None:
    """A mistake in roles, scopes or routes stops the build at its own line."""
    file, content, said = CASES[case]

    assert problems({**SOUND, file: content}) == [f"{file}:{line}" for line in said]


def test_what_looks_ambiguous_and_is_not(write: Write, tmp_path: Path, opa_binary: Path) -> None:
    """A literal beats a parameter, a host beats none, a preflight may be asked for twice."""
    entries = {
        "/x/{id}": "[{methods: [GET], all_of: [a], preflight: true, event: x.y},"
        " {methods: [PUT], all_of: [b], preflight: true, event: x.y}]",
        "/x/me": "[{methods: [GET], all_of: [b], event: x.y}]",
        "/{kind}/me": "[{methods: [GET], all_of: [b], event: x.y}]",
        "/x/{rest...}": "[{methods: [GET], all_of: [b], event: x.y}]",
        "/": "[{methods: [GET], host: a.example, public: true, event: x.y}, {methods: [GET], all_of: [a], event: x.y}]",
    }
    routes = "".join(f"{template}: {listed}\n" for template, listed in entries.items())

    report = build(write({**SOUND, ROUTES: routes}), tmp_path / "b.tar.gz", opa_binary)

    assert report.sources == 3


def test_data_of_another_policy_is_its_own(write: Write, tmp_path: Path, opa_binary: Path) -> None:
    """Roles, scopes and routes elsewhere than under `authz` may look as they like."""
    report = build(write({"p.rego": SMALLEST, "shop/roles/data.yaml": "a: [1]\n"}), tmp_path / "b.tar.gz", opa_binary)

    assert report.sources == 2
