"""Generated questions: in the words of a policy's own catalogue, with junk in every place."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from authz.core import Catalogue


def thorough(examples: int) -> settings:
    """Settings for inputs that are large and slow to make."""
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def or_junk(sound: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nearly always what is expected, else anything."""
    return st.integers(0, 19).flatmap(lambda dice: sound if dice else JUNK)


def checks(catalogue: Catalogue) -> st.SearchStrategy[Any]:
    """Input documents in the words of a catalogue, with junk in every place."""
    roles = st.lists(or_junk(st.sampled_from([*catalogue.roles, "nobody"])), max_size=3)
    scope = st.sampled_from([*catalogue.scopes, "openid", "email", "unheard:of"])
    ids = st.sampled_from(["u1", "u2", "", "42"])
    subject = st.fixed_dictionaries(
        {"type": or_junk(st.sampled_from(["user", "user", "service", "anonymous"])), "id": or_junk(ids)},
        optional={
            "roles": or_junk(roles),
            "scopes": or_junk(st.lists(or_junk(scope), max_size=4)),
            "issuer": or_junk(st.just("https://issuer.example")),
            "properties": or_junk(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "scope_mode": or_junk(st.sampled_from(["restrict", "grant", "ignore"])),
                        "claims": or_junk(
                            st.fixed_dictionaries(
                                {},
                                optional={
                                    "acr": or_junk(st.sampled_from(["1", "urn:mace:incommon:iap:silver"])),
                                    "amr": or_junk(st.lists(st.sampled_from(["pwd", "otp", "mfa", "hwk"]))),
                                },
                            )
                        ),
                    },
                )
            ),
        },
    )

    def asked(row: Any) -> st.SearchStrategy[Any]:
        methods = st.sampled_from([row.method, row.method, row.method, "GET", "OPTIONS", "TRACE"])
        params = {name: or_junk(ids) for name in row.params}
        return st.tuples(
            methods,
            st.fixed_dictionaries(
                {"type": or_junk(st.just("route")), "id": or_junk(st.just("/target"))},
                optional={
                    "route": or_junk(st.just(row.path)),
                    "params": or_junk(st.fixed_dictionaries(params)),
                    "host": or_junk(st.just(row.host or "api.example.com")),
                    "properties": JUNK,
                },
            ),
        )

    routes = st.sampled_from(catalogue.routes).flatmap(asked)
    scopes = st.tuples(
        st.sampled_from(["use", "use", "GET"]), st.fixed_dictionaries({"type": st.just("scope"), "id": or_junk(scope)})
    )
    context = st.fixed_dictionaries(
        {},
        optional={
            "now": or_junk(st.sampled_from([0, 1_700_000_000, 1_798_761_599, 1_798_761_600, 4_000_000_000.5])),
            "ip": or_junk(st.sampled_from(["10.0.0.7", "192.0.2.1", "::1", "not an address"])),
            "extra": JUNK,
        },
    )

    def whole(parts: Any) -> dict[str, Any]:
        who, (method, resource), around = parts
        return {"subject": who, "action": {"name": method}, "resource": resource, "context": around}

    question = st.tuples(or_junk(subject), st.one_of(routes, routes, routes, scopes), or_junk(context)).map(whole)
    return or_junk(question)
