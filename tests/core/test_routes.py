"""The route table finds one route for a request, the same one that a reader of the catalogue would name."""

from itertools import product

from hypothesis import assume, given
from hypothesis import strategies as st

from authz.core import Parameter, Route, RouteMatch, RouteTable, parameter_names
from tests.properties import many


def route(method: str, path: str, host: str | None = None) -> Route:
    return Route(method=method, path=path, host=host, all_of=(f"{method} {host or ''}{path}",))


def table(*lines: str) -> RouteTable:
    """A table from lines such as `GET /memory/{id}`."""
    return RouteTable(tuple(route(*line.split(" ")) for line in lines))


def found(routes: RouteTable, method: str, path: str, host: str | None = None) -> tuple[str, dict[str, str]] | None:
    """The scope of the route that matches, which names it, and its parameters."""
    match = routes.match(method, tuple(path[1:].split("/")), host)
    return (match.route.all_of[0], match.params) if match else None


def test_a_match_is_the_declared_route_and_its_parameters() -> None:
    """A match hands back the very route that the catalogue declared, with the values of its parameters."""
    declared = Route(
        method="GET",
        path="/users/{user}/photos/{photo}",
        any_of=("photos:read", "admin:users:read"),
        event="photo.accessed",
        params={"user": Parameter("clear")},
    )
    match = RouteTable((declared,)).match("GET", ("users", "u 1", "photos", "p2"))
    assert match == RouteMatch(declared, {"user": "u 1", "photo": "p2"})


def test_a_literal_beats_a_parameter() -> None:
    """`/memory/search` is the search, not the memory with the ID `search`."""
    routes = table("GET /memory/{id}", "GET /memory/search")
    assert found(routes, "GET", "/memory/search") == ("GET /memory/search", {})
    assert found(routes, "GET", "/memory/42") == ("GET /memory/{id}", {"id": "42"})


def test_the_first_literal_from_the_left_decides() -> None:
    """Of two routes with a literal each, the one whose literal comes first matches."""
    routes = table("GET /{a}/x", "GET /x/{b}")
    assert found(routes, "GET", "/x/x") == ("GET /x/{b}", {"b": "x"})


def test_a_literal_that_leads_nowhere_is_left_again() -> None:
    """A literal that matches at first but not to the end gives way to the parameter."""
    routes = table("GET /a/b/c", "GET /{x}/b/d")
    assert found(routes, "GET", "/a/b/d") == ("GET /{x}/b/d", {"x": "a"})


def test_another_method_does_not_fall_through() -> None:
    """The most literal template decides for every method: what is not declared there is not allowed by a wider rule."""
    routes = table("POST /memory/search", "GET /memory/{id}", "GET /{rest...}")
    assert found(routes, "POST", "/memory/search") == ("POST /memory/search", {})
    assert found(routes, "GET", "/memory/search") is None
    assert found(routes, "HEAD", "/memory/search") is None
    assert found(routes, "GET", "/memory/42") == ("GET /memory/{id}", {"id": "42"})
    assert found(routes, "DELETE", "/memory/42") is None


def test_the_rest_of_a_path_is_one_parameter() -> None:
    """`{rest...}` takes one segment or more, slashes included, but never none."""
    routes = table("GET /files/{rest...}")
    assert found(routes, "GET", "/files/a") == ("GET /files/{rest...}", {"rest": "a"})
    assert found(routes, "GET", "/files/a/b/c") == ("GET /files/{rest...}", {"rest": "a/b/c"})
    assert found(routes, "GET", "/files/a/") == ("GET /files/{rest...}", {"rest": "a/"})
    assert found(routes, "GET", "/files") is None
    assert found(routes, "GET", "/files/") is None


def test_a_rest_comes_last() -> None:
    """A literal and a parameter both go before `{rest...}`."""
    routes = table("GET /f/{rest...}", "GET /f/{id}", "GET /f/new")
    assert found(routes, "GET", "/f/new") == ("GET /f/new", {})
    assert found(routes, "GET", "/f/1") == ("GET /f/{id}", {"id": "1"})
    assert found(routes, "GET", "/f/new/1") == ("GET /f/{rest...}", {"rest": "new/1"})


def test_head_is_judged_as_get() -> None:
    """HEAD matches the GET route, unless a HEAD route of its own is declared."""
    routes = table("GET /a", "GET /b", "HEAD /b", "POST /c")
    assert found(routes, "HEAD", "/a") == ("GET /a", {})
    assert found(routes, "HEAD", "/b") == ("HEAD /b", {})
    assert found(routes, "HEAD", "/c") is None


def test_methods_are_case_sensitive_and_whole() -> None:
    """Only the declared method matches, letter by letter."""
    routes = table("GET /a")
    assert [found(routes, method, "/a") for method in ("get", "GE", "GETS", "", "POST")] == [None] * 5


def test_a_route_for_a_host_goes_before_one_for_any() -> None:
    """A route bound to a host matches only there, and there before the route for any host."""
    routes = table("GET /a", "GET /a admin.test", "GET /b admin.test")
    assert found(routes, "GET", "/a", "admin.test") == ("GET admin.test/a", {})
    assert found(routes, "GET", "/a", "api.test") == ("GET /a", {})
    assert found(routes, "GET", "/a", None) == ("GET /a", {})
    assert found(routes, "GET", "/b", "admin.test") == ("GET admin.test/b", {})
    assert found(routes, "GET", "/b", "api.test") is None
    assert found(routes, "GET", "/b", None) is None


def test_methods_are_those_under_which_the_path_is_known() -> None:
    """`methods` lists the methods of the most literal template that fits the path and the host."""
    routes = table("POST /memory/search", "GET /memory/{id}", "PUT /memory/{id}", "DELETE /memory/x a.test")
    assert routes.methods(("memory", "search")) == {"POST"}
    assert routes.methods(("memory", "x"), "a.test") == {"DELETE"}
    assert routes.methods(("memory", "x"), "b.test") == {"GET", "PUT"}
    assert routes.methods(("nothing",)) == frozenset()


def test_a_trailing_slash_is_another_path() -> None:
    """`/a` and `/a/` are two paths: a route for one is none for the other."""
    routes = table("GET /a", "GET /b/", "GET /")
    assert found(routes, "GET", "/a") == ("GET /a", {})
    assert found(routes, "GET", "/a/") is None
    assert found(routes, "GET", "/b/") == ("GET /b/", {})
    assert found(routes, "GET", "/b") is None
    assert found(routes, "GET", "/") == ("GET /", {})


def test_an_empty_segment_is_never_a_parameter() -> None:
    """A parameter has at least one character: `/memory/` asks for no memory."""
    routes = table("GET /memory/{id}", "GET /{a}/{b}")
    assert found(routes, "GET", "/memory/") is None
    assert found(routes, "GET", "//x") is None
    assert routes.methods(("memory", "")) == frozenset()


def test_a_template_is_not_a_path() -> None:
    """A request that spells out a template is a request for an ID of that name."""
    routes = table("GET /memory/{id}")
    assert found(routes, "GET", "/memory/{id}") == ("GET /memory/{id}", {"id": "{id}"})
    assert found(routes, "GET", "/{id}") is None


def test_a_route_is_found_by_its_template() -> None:
    """`by_template` finds what is declared with exactly that template, for this host or for any, HEAD as GET."""
    routes = table("GET /memory/{id}", "GET /memory/{id} a.test", "PUT /memory/{id}")
    assert routes.by_template("GET", "/memory/{id}", "a.test") == route("GET", "/memory/{id}", "a.test")
    assert routes.by_template("GET", "/memory/{id}", "b.test") == route("GET", "/memory/{id}")
    assert routes.by_template("GET", "/memory/{id}", None) == route("GET", "/memory/{id}")
    assert routes.by_template("HEAD", "/memory/{id}", None) == route("GET", "/memory/{id}")
    assert routes.by_template("POST", "/memory/{id}", None) is None
    assert routes.by_template("GET", "/memory/{other}", None) is None
    assert routes.by_template("GET", "/memory/42", None) is None


def test_the_names_of_parameters_come_in_order() -> None:
    """`parameter_names` names each parameter once, in the order of the path, without dots and braces."""
    assert parameter_names("/users/{user}/files/{rest...}") == ("user", "rest")
    assert parameter_names("/health") == ()


def test_the_literals_of_a_table_are_what_it_spells_out() -> None:
    """`literals` holds the segments that the templates spell out, and no parameter."""
    assert table("GET /users/{id}/photos", "GET /f/{rest...}").literals == {"users", "photos", "f"}


def test_an_empty_table_matches_nothing() -> None:
    """Without a route there is no match."""
    assert found(RouteTable(), "GET", "/") is None
    assert RouteTable().methods(("",)) == frozenset()


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y}", ""])
TEMPLATES = st.builds(
    lambda middle, last: "/" + "/".join([*(s or "a" for s in middle), last]),
    st.lists(SEGMENTS, max_size=2),
    SEGMENTS | st.just("{r...}"),
)
ROUTES = st.builds(
    route, st.sampled_from(["GET", "HEAD", "POST"]), TEMPLATES, st.sampled_from([None, None, "h.test", "i.test"])
)
PATHS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).flatmap(
    lambda first: st.sampled_from([(*first, "a"), (*first, "c"), (*first, "")])
)


def kinds(template: str) -> tuple[int, ...]:
    """How literal each segment is: 0 literal, 1 parameter, 2 rest."""
    return tuple(2 if s.endswith("...}") else 1 if s.startswith("{") else 0 for s in template[1:].split("/"))


def ambiguous(routes: list[Route]) -> bool:
    """Whether two routes could match one request equally."""
    seen = set()
    for each in routes:
        shape = tuple("{}" if s.startswith("{") and not s.endswith("...}") else s for s in each.path.split("/"))
        if (each.method, each.host, shape) in seen:
            return True
        seen.add((each.method, each.host, shape))
    return False


def fits(template: str, segments: tuple[str, ...]) -> bool:
    """Whether a template fits a path, read off the definition."""
    parts = template[1:].split("/")
    long_enough = len(segments) >= len(parts) if template.endswith("...}") else len(segments) == len(parts)
    pairs = zip(parts, segments, strict=False)
    return long_enough and all(bool(segment) if part.startswith("{") else part == segment for part, segment in pairs)


def by_hand(routes: list[Route], segments: tuple[str, ...], host: str | None) -> dict[str, Route]:
    """The routes of the most literal template that fits, by method; one for this very host before one for any."""
    fitting = [each for each in routes if each.host in (None, host) and fits(each.path, segments)]
    best = min((kinds(each.path) for each in fitting), default=())
    chosen = sorted((each for each in fitting if kinds(each.path) == best), key=lambda each: each.host is not None)
    return {each.method: each for each in chosen}


@many
@given(st.lists(ROUTES, max_size=8), st.sampled_from([None, "h.test"]), PATHS)
def test_the_table_agrees_with_trying_every_route(
    routes: list[Route], host: str | None, segments: tuple[str, ...]
) -> None:
    """For any unambiguous table the match is the one found by trying every route by hand."""
    assume(not ambiguous(routes))
    built = RouteTable(tuple(routes))
    declared = by_hand(routes, segments, host)
    for method in ("GET", "HEAD", "POST", "PUT"):
        expected = declared.get(method) or (declared.get("GET") if method == "HEAD" else None)
        match = built.match(method, segments, host)
        assert (match.route if match else None) == expected
        if match:
            assert set(match.params) == set(parameter_names(match.route.path))
    assert built.methods(segments, host) == set(declared)


@many
@given(
    st.permutations([route(*line.split(" ")) for line in ("GET /a/{x}", "GET /a/b", "GET /{y...}", "GET /a/b h.test")])
)
def test_the_order_of_declaration_does_not_matter(routes: list[Route]) -> None:
    """A table gives the same answers in whatever order its routes were declared."""
    built = RouteTable(tuple(routes))
    answers = [found(built, "GET", path, host) for path, host in product(("/a/b", "/a/c", "/d/e/f"), (None, "h.test"))]
    assert answers == [
        ("GET /a/b", {}),
        ("GET h.test/a/b", {}),
        ("GET /a/{x}", {"x": "c"}),
        ("GET /a/{x}", {"x": "c"}),
        ("GET /{y...}", {"y": "d/e/f"}),
        ("GET /{y...}", {"y": "d/e/f"}),
    ]
