"""What a policy's Rego reads of the input, and what of that no record has."""

import ipaddress
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from authz.bundle import Bundle, OpaMissingError, find_opa
from authz.core import AuthzError

_PARSE_SECONDS: Final = 60
_EARLIEST: Final = 100_000_000
"""Numbers above this (1973) are taken for times at which answers may change."""
_LATEST: Final = 253_402_300_798

_RECORDED: Final = {
    ("subject", "type"),
    ("subject", "roles"),
    ("subject", "scopes"),
    ("subject", "issuer"),
    ("subject", "properties", "scope_mode"),
    ("subject", "properties", "claims", "acr"),
    ("subject", "properties", "claims", "amr"),
    ("action", "name"),
    ("resource", "type"),
    ("resource", "host"),
    ("resource", "route"),
    ("context", "now"),
}
_ID: Final = ("subject", "id")
_RESOURCE_ID: Final = ("resource", "id")
_CHECKS: Final = ("checks",)
_PARAMS: Final = ("resource", "params")
_ADDRESS: Final = ("context", "ip")
_INSTEAD: Final = {
    _ID: "uses {} other than by comparing it with a path parameter: records hold a pseudonym",
    _PARAMS: "uses {} other than by comparing it with input.subject.id: records hold a pseudonym",
    _ADDRESS: "uses {} other than in net.cidr_contains with a network of the data",
}
_COMPARISONS: Final = {"equal", "eq", "neq"}
_ARITHMETIC: Final = {"plus", "minus", "mul", "div", "rem", "round", "ceil", "floor"}


class ReadsUnrecordedError(AuthzError):
    """The policy reads something that no record has: what it would have answered cannot be said."""

    code = "replay_refused"


class Reads(Struct, frozen=True):
    """What answers under a policy may depend on. `moments`: seconds since the epoch. `scope_mode`: it is read."""

    networks: tuple[str, ...]
    moments: tuple[int, ...]
    scope_mode: bool


class _Reference(NamedTuple):
    """One read of the input: the path as far as it is constant; `whole`: it goes no further, or by no constant."""

    path: tuple[str, ...]
    computed: bool


class _Use(NamedTuple):
    """A rule, `by`, names something: a rule, what is in its value, or a package with all its rules."""

    of: tuple[str, ...]
    by: tuple[str, ...]
    guarded: bool


def reads_of(bundle: Bundle, opa: Path | None = None) -> Reads:
    """What the bundle's Rego reads. Raises ReadsUnrecordedError, naming all that no record has; OpaMissingError."""
    try:
        return reads_of_modules(bundle.members, bundle.data_json, find_opa(opa).path)
    except ReadsUnrecordedError as error:
        raise ReadsUnrecordedError(f"revision {bundle.revision}: {error}") from None


def reads_of_modules(members: Mapping[str, bytes], data_json: bytes, opa: Path) -> Reads:
    """What the modules among these files read, as `reads_of`. `opa`: the program."""
    modules = {name: text for name, text in members.items() if name.endswith(".rego")}
    if not modules:
        raise ReadsUnrecordedError("holds no Rego, so nobody can say what it reads")
    found = _Module()
    for name, tree in _parsed(modules, opa).items():
        found.take(name, tree)
    problems = list(dict.fromkeys(found.problems()))
    if problems:
        raise ReadsUnrecordedError("; ".join(problems))
    values = [*_leaves(msgspec.json.decode(data_json)), *found.constants]
    networks = sorted({each for each in values if isinstance(each, str) and _is_network(each)})
    moments = sorted({int(each) for each in values if type(each) in (int, float) and _EARLIEST < each < _LATEST})
    return Reads(
        tuple(networks) if found.reads(_ADDRESS) else (),
        tuple(moments) if found.reads(("context", "now")) else (),
        found.reads(("subject", "properties", "scope_mode")),
    )


def _parsed(modules: Mapping[str, bytes], opa: Path) -> dict[str, Any]:
    trees = {}
    with tempfile.TemporaryDirectory(prefix="authz-replay-") as room:
        path = Path(room) / "module.rego"
        for name, text in modules.items():
            path.write_bytes(text)
            try:
                done = subprocess.run(  # noqa: S603 - a program that was found, and a file of ours
                    [opa, "parse", "--format", "json", path],
                    capture_output=True,
                    timeout=_PARSE_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise OpaMissingError(f"{opa} parse: {error}") from None
            if done.returncode != 0:
                raise ReadsUnrecordedError(f"{name}: opa cannot parse it")
            trees[name] = msgspec.json.decode(done.stdout)
    return trees


class _Module:
    """What was found in all modules of a policy."""

    def __init__(self) -> None:
        self.constants: list[Any] = []
        self._references: list[tuple[str, _Reference]] = []
        self._problems: list[str] = []
        self._computes: list[str] = []
        self._uses: list[_Use] = []
        self._aliases: dict[str, tuple[str, ...]] = {}
        self._naming_resource: list[tuple[str, tuple[str, ...], bool]] = []

    def take(self, name: str, tree: dict[str, Any]) -> None:
        """One module. Its tests are not in a bundle."""
        package = tuple(str(each["value"]) for each in tree["package"]["path"])
        self._aliases = {}
        for each in tree.get("imports") or ():
            path = tuple(str(part["value"]) for part in each["path"]["value"])
            self._aliases[str(each.get("alias") or path[-1])] = path
            if path[0] == "input":
                self._problems.append(f"{name} imports {_text(each['path'])}, and what it does with it cannot be seen")
        for rule in tree.get("rules") or ():
            self._rule(name, package, rule)

    def reads(self, path: tuple[str, ...]) -> bool:
        """Whether anything reads this."""
        return any(each.path[: len(path)] == path for _, each in self._references)

    def problems(self) -> Iterator[str]:
        """All that cannot be known from records."""
        yield from self._problems
        for where, each in self._references:
            said = _problem(each)
            if said is not None:
                yield f"{where} {said}"
        if self.reads(("context", "now")):
            yield from self._computes
        for where, rule, guarded in self._naming_resource:
            if not guarded and not self._is_guarded(rule, frozenset()):
                yield f"{where} reads input.resource.id, of which a record has no more than the route"

    def _is_guarded(self, rule: tuple[str, ...], seen: frozenset[tuple[str, ...]]) -> bool:
        """Whether all that leads to this rule has made sure that it is not about a route."""
        uses = [use for use in self._uses if use.by != rule and _overlap(use.of, rule)]
        return (
            rule not in seen
            and bool(uses)
            and all(use.guarded or self._is_guarded(use.by, seen | {rule}) for use in uses)
        )

    def _use(self, of: tuple[str, ...], by: tuple[str, ...], *, guarded: bool) -> None:
        self._uses.append(_Use(of, by, guarded))

    def _rule(self, name: str, package: tuple[str, ...], rule: dict[str, Any]) -> None:
        line = rule.get("location", {}).get("row")
        head = rule["head"]
        own = str(head["name"] if "name" in head else head["ref"][0]["value"])
        where = f"{name.strip('/')}{f':{line}' if line else ''} ({own})"
        guarded = any(_rules_out_routes(each) for each in rule.get("body") or ())
        identity = (*package, own)
        for part in _rules(rule):
            inner = guarded or any(_rules_out_routes(each) for each in part.get("body") or ())
            self._walk(where, identity, package, {"head": part.get("head"), "body": part.get("body")}, guarded=inner)

    def _walk(self, where: str, rule: tuple[str, ...], package: tuple[str, ...], node: Any, *, guarded: bool) -> None:
        if isinstance(node, list):
            if self._compares(node):
                return
            for each in node:
                self._walk(where, rule, package, each, guarded=guarded)
            return
        if not isinstance(node, dict):
            return
        if node.get("type") in ("string", "number"):
            self.constants.append(node["value"])
        elif node.get("type") == "var":
            self._variable(where, rule, package, str(node["value"]), guarded=guarded)
        elif node.get("type") == "ref":
            self._reference(where, rule, package, node["value"], guarded=guarded)
        else:
            # What `with` puts something in the place of is not read.
            members = [[w["value"] for w in each] if name == "with" else each for name, each in node.items()]
            for each in members:
                self._walk(where, rule, package, each, guarded=guarded)

    def _variable(
        self, where: str, rule: tuple[str, ...], package: tuple[str, ...], name: str, *, guarded: bool
    ) -> None:
        self._use(self._aliases.get(name, (*package, name)), rule, guarded=guarded)
        if name == "input":
            self._references.append((where, _Reference((), computed=False)))

    def _reference(
        self, where: str, rule: tuple[str, ...], package: tuple[str, ...], parts: list[Any], *, guarded: bool
    ) -> None:
        head = parts[0].get("value")
        for each in parts[1:]:
            if each.get("type") != "string":
                self._walk(where, rule, package, each, guarded=guarded)
        if head == "input":
            path = _constant(parts)
            self._references.append((where, _Reference(path, computed=len(path) < len(parts) - 1)))
            if path == _RESOURCE_ID:
                self._naming_resource.append((where, rule, guarded))
        elif head == "data":
            self._use(("data", *_constant(parts)), rule, guarded=guarded)
        elif isinstance(head, dict):
            self._walk(where, rule, package, head, guarded=guarded)
        elif parts[0].get("type") == "var":
            named = self._aliases.get(head, (*package, head))
            self._use((*named, *_constant(parts)), rule, guarded=guarded)
            if (head in _ARITHMETIC and len(parts) == 1) or head == "time":
                self._computes.append(f"{where} computes ({_text(parts)}) in a policy that reads the time")
        else:
            self._walk(where, rule, package, parts[0], guarded=guarded)

    def _compares(self, terms: list[Any]) -> bool:
        """An expression that uses an ID in a way that pseudonyms under one key answer as IDs do."""
        operator = _operator(terms)
        paths = [_input_path(each) for each in terms[1:]]
        if operator == "is_string" and paths == [_ID]:
            return True
        if operator == "net.cidr_contains" and len(terms) == 3 and paths[1] == _ADDRESS:
            self._references.append(("", _Reference((*_ADDRESS, "="), computed=False)))
            return paths[0] is None and not _calls(terms[1])
        if operator not in _COMPARISONS or len(paths) != 2:
            return False
        if _ID in paths and {"type": "string", "value": ""} in terms:
            return True
        other = [each for each in paths if each != _ID]
        return _ID in paths and len(other) == 1 and other[0] is not None and other[0][:2] == _PARAMS


def _problem(reference: _Reference) -> str | None:
    path = reference.path
    if path[-1:] == ("=",) or path in (_RESOURCE_ID, _CHECKS):
        return None
    if any(path[: len(each)] == each for each in _RECORDED):
        return None
    said = ".".join(("input", *path))
    for beginning, sentence in _INSTEAD.items():
        if path[: len(beginning)] == beginning:
            return sentence.format(said)
    if reference.computed or any(each[: len(path)] == path for each in (*_RECORDED, _ID, _PARAMS)):
        return f"takes {said} as a whole, and what it does with it cannot be seen"
    return f"reads {said}, which records do not hold as it was"


def _rules(rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rule and what follows it after `else`."""
    current: dict[str, Any] | None = rule
    while current is not None:
        yield current
        current = current.get("else")


def _rules_out_routes(expression: dict[str, Any]) -> bool:
    """Whether an expression holds for no route: it compares the type with another one."""
    terms = expression.get("terms")
    if expression.get("negated") or not isinstance(terms, list) or _operator(terms) not in ("equal", "eq"):
        return False
    stated = [each["value"] for each in terms[1:] if each.get("type") == "string"]
    return ("resource", "type") in map(_input_path, terms[1:]) and stated not in ([], ["route"])


def _operator(terms: list[Any]) -> str:
    first = terms[0] if terms and isinstance(terms[0], dict) else {}
    return ".".join(str(each["value"]) for each in first["value"]) if first.get("type") == "ref" else ""


def _input_path(term: Any) -> tuple[str, ...] | None:
    """The path below the input, of a reference to it; a parameter by any name counts."""
    if not isinstance(term, dict) or term.get("type") != "ref" or term["value"][0].get("value") != "input":
        return None
    path = _constant(term["value"])
    computed = len(term["value"]) - 1 - len(path)
    if path == _PARAMS and computed == 1:
        return (*path, "*")
    return path if not computed else None


def _constant(parts: list[Any]) -> tuple[str, ...]:
    path = []
    for each in parts[1:]:
        if each.get("type") != "string":
            break
        path.append(str(each["value"]))
    return tuple(path)


def _calls(node: Any) -> bool:
    return isinstance(node, dict) and node.get("type") == "call"


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _text(term: Any) -> str:
    parts = term["value"] if isinstance(term, dict) else term
    return ".".join(str(each["value"]) for each in parts)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _is_network(text: str) -> bool:
    if "/" not in text and not text[:1].isdigit() and ":" not in text:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
