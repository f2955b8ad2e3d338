"""Building: the same bytes from anywhere, and every refusal with its file and line."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from opapywasm import OpaWasmPolicy

from authz import bundle, policy
from tests.policy.conftest import ROOT, SMALLEST, Problems, Write

POLICIES = ROOT / "policies"


def test_the_shipped_bundle_is_what_the_sources_make(tmp_path: Path, opa_binary: Path) -> None:
    """Building `policies/` gives the committed bundle, byte for byte, and the digest that the package trusts."""
    out = tmp_path / "bundle.tar.gz"

    report = policy.build(POLICIES, out, opa_binary)

    assert out.read_bytes() == (ROOT / "bundles" / "default.tar.gz").read_bytes()
    shipped = bundle.read_shipped()
    assert report == policy.BuildReport(
        revision=shipped.revision,
        sha256=shipped.sha256,
        output=str(out),
        opa=bundle.pins.OPA,
        entrypoints=("authz/decision", "authz/catalogue", "authz/decisions", "authz/explain", "authz/candidates"),
        sources=10,
        scopes=27,
        roles=6,
        routes=42,
    )
    assert str(report) == (
        f"{out}: revision {shipped.revision}, 42 routes, 27 scopes, 6 roles, sha256 {shipped.sha256}"
    )


def test_the_bytes_do_not_depend_on_where_the_sources_lie(
    tmp_path: Path, opa_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another directory, another spelling of it, other file times and modes, another umask: the same bytes."""
    elsewhere = tmp_path / "a" / "very" / "other place"
    shutil.copytree(POLICIES, elsewhere)
    for file in elsewhere.rglob("*.rego"):
        os.utime(file, (1, 1))
        file.chmod(0o600)
    monkeypatch.chdir(elsewhere.parent)
    before = os.umask(0o077)
    try:
        policy.build(Path("../very/other place/."), tmp_path / "bundle.tar.gz", opa_binary)
    finally:
        os.umask(before)

    assert (tmp_path / "bundle.tar.gz").read_bytes() == (ROOT / "bundles" / "default.tar.gz").read_bytes()


def test_the_revision_is_a_digest_of_the_sources(write: Write, tmp_path: Path, opa_binary: Path) -> None:
    """Anyone can compute it: name, zero byte, length, zero byte, content, file by file. Tests do not count."""
    files = {"authz/policy.rego": SMALLEST, "authz/data.yaml": "a: 1\n"}
    tests = {"authz/policy_test.rego": "package authz_test\n", "schemas/input.json": "{}", ".regal/config.yaml": "a: 1"}
    whole = b"".join(b"%s\0%d\0%s" % (n.encode(), len(c), c.encode()) for n, c in sorted(files.items()))

    report = policy.build(write({**files, **tests}), tmp_path / "b.tar.gz", opa_binary)

    built = bundle.read(tmp_path / "b.tar.gz")
    assert report.revision == built.revision == hashlib.sha256(whole).hexdigest()[:16]
    assert set(built.members) == {".manifest", "authz.wasm", "authz/policy.rego", "data.json"}
    assert json.loads(built.data_json) == {"authz": {"a": 1}}


def test_a_policy_needs_only_decision_and_catalogue(write: Write, tmp_path: Path, opa_binary: Path) -> None:
    """Optional entrypoints that the policy does not have are left out, and it has no closure."""
    policy.build(write({"policy.rego": SMALLEST}), tmp_path / "b.tar.gz", opa_binary)

    built = bundle.read(tmp_path / "b.tar.gz")
    assert built.entrypoints == ("authz/decision", "authz/catalogue")
    assert json.loads(built.data_json) == {}
    module = OpaWasmPolicy.from_wasm_bytes(built.wasm)
    assert module.entrypoints == {"authz/decision": 0, "authz/catalogue": 1}
    module.close()


def test_a_bundle_owns_its_own_names_only(write: Write, tmp_path: Path, opa_binary: Path) -> None:
    """The roots are the first names of packages and data: beside it an OPA server keeps the rules of its own API."""
    files = {"policy.rego": SMALLEST, "more/more.rego": "package shared.more\n\nx := 1\n", "hr/data.yaml": "a: 1\n"}
    policy.build(write(files), tmp_path / "b.tar.gz", opa_binary)

    assert bundle.read(tmp_path / "b.tar.gz").manifest.roots == ("authz", "hr", "shared")


def test_a_function_may_refer_to_the_decision(write: Write, tmp_path: Path, opa_binary: Path) -> None:
    """OPA would make an entrypoint of whatever refers to one, which a function cannot be."""
    more = "\nagain(x) := decision if x\n\nother := again(true)\n"

    report = policy.build(write({"policy.rego": SMALLEST + more}), tmp_path / "b.tar.gz", opa_binary)

    assert report.entrypoints == ("authz/decision", "authz/catalogue")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README.md": "no policy"}, [".:1: no Rego file here (give the directory that holds the policy)"]),
        (
            {"p.rego": SMALLEST, "roles.yaml": "", "a/x.json": "{}", "data.yml": ""},
            [
                "a/x.json:1: OPA does not load this data file (name it data.yaml)",
                "data.yml:1: OPA does not load this data file (name it data.yaml)",
                "roles.yaml:1: OPA does not load this data file (name it data.yaml)",
            ],
        ),
        (
            {"p.rego": SMALLEST, "a/data.yaml": "x: 1\ny: [\n"},
            ["a/data.yaml:3: not YAML: expected the node content, but found '<stream end>'"],
        ),
        (
            {"p.rego": SMALLEST, "a/data.yaml": "x:\n  k: 1\n  l: 2\n  k: 3\ny: 1\nx: 2\n"},
            ["a/data.yaml:4: k is also on line 2 (keep one)", "a/data.yaml:6: x is also on line 1 (keep one)"],
        ),
        (
            {"p.rego": SMALLEST, "s.rego": "# Its own.\npackage system.authz\n\nallow := true\n"},
            ["s.rego:2: package system is the OPA server's own: it says who may use its API (name it otherwise)"],
        ),
        (
            {"p.rego": SMALLEST, "system/authz/data.yaml": "allow: true\n"},
            ["system:1: data under system is the OPA server's own (name it otherwise)"],
        ),
        ({"p.rego": SMALLEST + "\nx := y\n"}, ["p.rego:7: var y is unsafe"]),
        ({"p.rego": SMALLEST + "\nx := 1 1\n"}, ["p.rego:7: number cannot be used for rule name"]),
        (
            {"p.rego": SMALLEST + '\nx := sprintf("%d", [1])\n\ny := time.now_ns()\n'},
            [
                "p.rego:7: builtin sprintf is not compiled into the Wasm guest (use one that is, or the input)",
                "p.rego:9: builtin time.now_ns is not compiled into the Wasm guest (use one that is, or the input)",
            ],
        ),
        ({"p.rego": SMALLEST + "\nx := nosuch(1)\n"}, ["p.rego:7: undefined function nosuch"]),
        ({"p.rego": SMALLEST.replace("decision", "verdict")}, ["p.rego:1: there is no rule data.authz.decision"]),
        ({"p.rego": SMALLEST.replace("catalogue", "index")}, ["p.rego:1: there is no rule data.authz.catalogue"]),
        (
            {"p.rego": SMALLEST, "authz/closure/data.yaml": "a: 1\n"},
            ["authz/closure/data.yaml:1: the build writes this itself (remove it)"],
        ),
    ],
)
def test_what_cannot_be_built_is_said_with_file_and_line(
    problems: Problems, files: dict[str, str], said: list[str]
) -> None:
    """Each problem is one line: file, line, what is wrong and how to mend it."""
    assert problems(files) == said


def test_rego_is_held_to_the_input_schema(problems: Problems) -> None:
    """A misspelt field of the input is found when the policy brings a schema."""
    schema = {"type": "object", "properties": {"subject": {"type": "object", "properties": {"id": {"type": "string"}}}}}
    files = {"p.rego": SMALLEST + "\nx := input.subject.ids\n", "schemas/input.json": json.dumps(schema)}

    assert problems(files) == ["p.rego:7: undefined ref: input.subject.ids"]


GET = '{"method": "GET", "path": "/a/{b}", "params": {"b": {}}}'


@pytest.mark.parametrize(
    ("decision", "catalogue", "said"),
    [
        ("decision := {} if input.x", "{}", ["decision for an empty input: is undefined (give it a default)"]),
        ('decision := "no"', "{}", ["decision for an empty input: Expected `object`, got `str`"]),
        (
            'decision := {"allow": "yes", "reason": "scope_granted", "scopes": []}',
            "{}",
            ["decision for an empty input: Expected `bool`, got `str` - at `$.allow`"],
        ),
        (
            'decision := {"allow": false, "reason": "because", "scopes": []}',
            "{}",
            ["decision for an empty input: 'because' is no reason of a deny (declare it in data.authz.catalogue"],
        ),
        (
            'decision := {"allow": true, "reason": "because", "scopes": []}',
            '{"reasons": ["because"]}',
            ["decision for an empty input: 'because' is no reason of an allow (say one of ['public_route', "],
        ),
        (
            'decision := {"allow": true, "reason": "public_route", "scopes": [], "headers": {"X-Authz-Subject": "me"}}',
            "{}",
            ["decision for an empty input: its limits or headers cannot be used"],
        ),
        (
            'decision := {"allow": true, "reason": "public_route", "scopes": [], "missing": ["a"]}',
            "{}",
            ["decision for an empty input: an allow has nothing in `missing`"],
        ),
        (
            f'decision := {{"allow": false, "reason": "not_owner", "scopes": ["{"s" * 10_240}"]}}',
            "{}",
            ["decision for an empty input: it is longer than 10240 bytes"],
        ),
        (
            'decision := {"allow": false, "reason": "scope_missing", "scopes": [1 | input.action]}',
            f'{{"routes": [{GET}]}}',
            [
                "decision for GET /a/{b} by anonymous: Expected `str`, got `int` - at `$.scopes[0]`",
                "decision for GET /a/{b} by user: Expected `str`, got `int` - at `$.scopes[0]`",
            ],
        ),
        (
            'decision := {"allow": false, "reason": ["not_owner", "scope_missing"][_], "scopes": []}',
            "{}",
            ["decision for an empty input: p.rego:4:1: var assignment conflict"],
        ),
        (
            'decision := {"allow": false, "reason": "not_owner", "scopes": numbers.range(1, 1000000000)}',
            "{}",
            ["decision for an empty input: "],
        ),
    ],
)
def test_an_answer_outside_the_contract_is_said_with_its_rule(
    problems: Problems, decision: str, catalogue: str, said: list[str]
) -> None:
    """The built module is asked, and every answer it gives must be one that the decision point can read."""
    listed = f'object.union({{"scopes": [], "roles": ["r"]}}, {catalogue})'
    found = problems({"p.rego": f"package authz\n\n# Why.\n{decision}\n\ncatalogue := {listed}\n"})

    assert len(found) == len(said)
    assert [line[: len(f"p.rego:4: data.authz.{text}")] for line, text in zip(found, said, strict=True)] == [
        f"p.rego:4: data.authz.{text}" for text in said
    ]


@pytest.mark.parametrize(
    ("catalogue", "said"),
    [
        ("[]", "catalogue data.authz.catalogue: Expected `object`, got `array`"),
        ('{"scopes": []}', "catalogue data.authz.catalogue: Object missing required field `roles`"),
        (
            '{"scopes": [], "roles": [], "reasons": ["scope_granted"]}',
            "catalogue data.authz.catalogue: reasons ['scope_granted'] are already taken",
        ),
        ('{"scopes": [], "roles": []} if input.x', "catalogue is undefined (give it a default)"),
    ],
)
def test_a_catalogue_outside_the_contract_is_refused(problems: Problems, catalogue: str, said: str) -> None:
    """Without a catalogue that can be read there are no routes and no metric labels."""
    rules = SMALLEST.replace('{"scopes": [], "roles": []}', catalogue)

    assert [line[: len(f"p.rego:5: data.authz.{said}")] for line in problems({"p.rego": rules})] == [
        f"p.rego:5: data.authz.{said}"
    ]


def test_decisions_that_lose_one_are_refused(problems: Problems) -> None:
    """A batch in which an undefined item vanishes would hand its neighbour's answer on."""
    more = "\ndecisions := [x | some c in input.checks; c.action; x := decision with input as c]\n"
    routed = SMALLEST.replace('"roles": []', f'"roles": [], "routes": [{GET}]')

    assert problems({"p.rego": routed + more}) == ["p.rego:7: data.authz.decisions for 2 checks: gives 1 answers"]


def test_an_old_bundle_survives_a_failed_build(write: Write, tmp_path: Path, opa_binary: Path) -> None:
    """What was there before stays until there is something better."""
    out = tmp_path / "bundle.tar.gz"
    policy.build(write({"p.rego": SMALLEST}), out, opa_binary)
    before = out.read_bytes()

    with pytest.raises(policy.BuildError):
        policy.build(write({"p.rego": "package authz\n"}), out, opa_binary)

    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.tar.gz", "policy"]
