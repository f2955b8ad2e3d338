"""A policy for one's own API: init, import and new, as a security team calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from authz.policy import Operation, PolicyFiles, init, read_document
from authz.policy.starting import Requirement
from tests.conftest import missing
from tests.policy.conftest import ROOT

DOCUMENT = """
openapi: 3.1.0
info: {title: Books, version: "1", x-date: 2026-02-30}
servers: [{url: "https://{region}.example.com/api/"}]
security: [{login: [books:read]}]
paths:
  /books:
    get: {}
    post: {security: [{login: [books:write, books:read]}]}
  /books/{book-id}:
    get: {security: [{login: [books:read]}, {login: [books:admin]}]}
    delete: {security: [{login: [books:write]}, {key: []}]}
    patch: {security: [{login: [a, b]}, {login: [c]}]}
  /books/{id}.pdf:
    get: {}
  /shelves/:
    get: {}
  /news:
    get: {security: []}
    head: {security: [{}, {login: [books:read]}]}
    put: {security: [{nowhere: []}]}
    post: {security: [{login: [openid]}]}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: x-key}
    login:
      type: oauth2
      flows: {implicit: {authorizationUrl: "https://x", scopes: {"books:read": "Read: books # all", "books:write": W}}}
"""


def authz(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "authz", "policy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "books.yaml"
    path.write_text(DOCUMENT)
    return path


def test_every_operation_is_mapped_or_listed(document: Path) -> None:
    """One object is all_of, several of one scope each any_of, none or an empty one public; anything else is listed."""
    found = {
        f"{each.method} {each.template}": each.requirement or each.why for each in read_document(document).operations
    }
    assert found == {
        "GET /api/books": Requirement(all_of=("books:read",)),
        "POST /api/books": Requirement(all_of=("books:read", "books:write")),
        "GET /api/books/{book_id}": Requirement(any_of=("books:read", "books:admin")),
        "DELETE /api/books/{book_id}": "an alternative of its `security` names no scope",
        "PATCH /api/books/{book_id}": "its alternatives are of several scopes each, which one route cannot hold",
        "GET /api/books/{id}.pdf": "its segment {id}.pdf is neither a parameter nor plain text",
        "GET /api/shelves/": "its path ends in a slash, which no route does",
        "GET /api/news": Requirement(public=True),
        "HEAD /api/news": Requirement(public=True),
        "PUT /api/news": "its `security` names a scheme that is not declared: nowhere",
        "POST /api/news": "an alternative of its `security` names no scope",
    }


def test_other_ways_in_can_be_left_out(document: Path) -> None:
    """With --scheme an API key beside OAuth does not leave an operation undecided."""
    found = read_document(document, frozenset({"login"})).operations
    assert Operation("DELETE", "/api/books/{book_id}", Requirement(all_of=("books:write",))) in found


@pytest.mark.slow
def test_a_policy_begins_from_a_document(document: Path, tmp_path: Path, opa_binary: Path) -> None:
    """init and import make a policy that builds; --check is silent then, and 1 when either side has moved."""
    mine = tmp_path / "mine"
    begun = authz("init", mine, "--openapi", document)
    assert begun.returncode == 0, begun.stderr
    assert "now public, as the document says: GET /api/news" in begun.stdout
    assert authz("build", mine, "-o", tmp_path / "mine.tar.gz", "--opa", opa_binary).returncode == 0
    assert authz("import", document, "--into", mine, "--check").returncode == 0
    routes = mine / "authz" / "routes" / "data.yaml"
    assert routes.read_text().startswith("# Routes, keyed by path template")
    scopes = PolicyFiles(mine).read("scopes")
    assert scopes["books:read"] == {"description": "Read: books # all"}
    assert set(scopes) >= {"admin:read", "admin:security:write"}
    assert "memory:read" not in scopes

    before = routes.read_text()
    routes.write_text(before + '"/own":\n  - {methods: [GET], all_of: ["books:read"], event: api.request}\n')
    document.write_text(
        DOCUMENT.replace("get: {}", "put: {}", 1).replace("security: []", "security: [{login: [books:read]}]")
    )
    drift = authz("import", document, "--into", mine, "--check")
    assert (drift.returncode, [line for line in drift.stdout.splitlines() if not line.startswith("undecided")]) == (
        1,
        [
            "not in the policy: PUT /api/books (books:read)",
            "differs: GET /api/news: policy public, document books:read",
            "not in the document: GET /api/books",
            "not in the document: GET /own",
        ],
    )
    assert authz("import", document, "--into", mine).returncode == 0
    assert PolicyFiles(mine).read("routes")["/api/books"][0]["methods"] == ["PUT"]
    assert authz("build", mine, "-o", tmp_path / "mine.tar.gz", "--opa", opa_binary).returncode == 0


@pytest.mark.slow
def test_nothing_is_written_over(tmp_path: Path) -> None:
    """init takes an empty directory only, and new no name that is there."""
    init(tmp_path / "mine")
    assert authz("init", tmp_path / "mine").returncode == 2
    assert authz("new", "scope", "admin:read", "--into", tmp_path / "mine").returncode == 2


@pytest.mark.slow
def test_a_route_is_named_by_its_path(tmp_path: Path) -> None:
    """A method in front of the path is refused before anything is written, and the message says where it goes."""
    init(tmp_path / "mine")
    refused = authz("new", "route", "GET /books", "--into", tmp_path / "mine", "--scope", "admin:read")
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (
        2,
        "Error: GET /books: a route's NAME is its path and begins with /; its methods are --method",
    )
    assert PolicyFiles(tmp_path / "mine").read("routes") == {}


@pytest.mark.slow
def test_new_adds_what_it_is_asked_for_with_its_case(tmp_path: Path) -> None:
    """A scope, a role and a route each stand in their file, comments kept, and in a case file."""
    mine = tmp_path / "mine"
    init(mine)
    assert authz("new", "scope", "books:read", "--into", mine, "--description", "Read: all").returncode == 0
    assert authz("new", "role", "reader", "--into", mine, "--scope", "books:read").returncode == 0
    assert authz("new", "route", "/books/{id}", "--into", mine, "--scope", "books:read").returncode == 0
    files = PolicyFiles(mine)
    assert files.read("scopes")["books:read"] == {"description": "Read: all"}
    assert files.read("roles")["reader"] == {"description": "reader", "scopes": ["books:read"]}
    assert files.read("routes") == {
        "/books/{id}": [{"methods": ["GET"], "all_of": ["books:read"], "event": "api.request"}]
    }
    assert sorted(path.name for path in (mine / "cases").iterdir()) == ["roles.yaml", "routes.yaml", "scopes.yaml"]


MODULE = "github.com/okta/okta-sdk-golang/v5@v5.0.2"
SUM = "h1:eecvycE/XDX56IWTsOVhqfj5txCgqryTXzKy7wKEq78="


@pytest.fixture(scope="module")
def large() -> Path:
    """An API description of 585 operations that others wrote, from a public package pinned by its hash."""
    found = subprocess.run(
        [sys.executable, ROOT / "tools" / "provision.py", "go"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        missing("go")
    command = [found.stdout.strip(), "mod", "download", "-json", MODULE]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env={**os.environ, "GOFLAGS": "-modcacherw"}
    )
    if done.returncode != 0:
        missing(f"the module {MODULE}")
    said = json.loads(done.stdout)
    assert said["Sum"] == SUM
    return Path(said["Dir"]) / "okta" / "api" / "openapi.yaml"


@pytest.mark.slow
def test_a_large_document_of_others_is_imported(large: Path, tmp_path: Path, opa_binary: Path) -> None:
    """Of 585 operations each is a route of the built policy, or listed; the document then shows no drift."""
    mine = tmp_path / "mine"
    init(mine)
    done = authz("import", large, "--into", mine, "--scheme", "oauth2")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("585 operations: 581 mapped (581 new), 4 undecided; 91 new scopes"), done.stderr
    assert sum(line.startswith("undecided, stays closed: ") for line in rest) == 4
    built = authz("build", mine, "-o", tmp_path / "mine.tar.gz", "--opa", opa_binary, "--json")
    assert json.loads(built.stdout)["routes"] == 581
    assert authz("import", large, "--into", mine, "--scheme", "oauth2", "--check").returncode == 0


def test_the_sources_that_ship_are_the_policies() -> None:
    """What init lays out is what is tested here: one folder, not a copy."""
    assert (ROOT / "authz" / "policies").resolve() == ROOT / "policies"
