"""An OpenAPI 3 document as routes: each of its operations is mapped, or listed with the reason why not."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Struct

from authz.core import AuthzError
from authz.policy.starting.requirement import Requirement, Undecided, requirement_of

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PARAMETER: Final = re.compile(r"\{([^{}]+)\}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@-]+")
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")  # RFC 6749's scope-token


class DocumentError(AuthzError):
    """The file is no OpenAPI 3 document that can be read."""

    code = "openapi_document"


class Operation(Struct, frozen=True):
    """One operation. `template`: as a route holds it. Either `requirement`, or `why` there is none."""

    method: str
    template: str
    requirement: Requirement | None = None
    why: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.template}" + (f": {self.why}" if self.why else "")


class Document(Struct, frozen=True):
    """All operations in their order, and the descriptions of all scopes that are declared."""

    operations: tuple[Operation, ...]
    descriptions: dict[str, str]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # either is a class
    """Dates stay text, as in JSON: an example may hold one that no calendar has."""


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str)


def read_document(path: Path, only: frozenset[str] = frozenset()) -> Document:
    """Read JSON, or YAML. `only`: the security schemes that count, where others are for other ways in; all if empty.

    Raises DocumentError.
    """
    try:
        content = path.read_bytes()
        read = msgspec.json.decode if path.suffix == ".json" else _yaml
        document = read(content)
    except (OSError, msgspec.MsgspecError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: cannot be read: {error}") from None
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise DocumentError(f"{path}: not an OpenAPI 3 document (there is no `openapi: 3.x`)")
    if not isinstance(document.get("paths", {}), dict):
        raise DocumentError(f"{path}: `paths` is not an object")
    schemes = _schemes(document)
    return Document(tuple(_operations(document, schemes, only)), _descriptions(schemes))


def _yaml(content: bytes) -> Any:
    return yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe one


def _schemes(document: Mapping[str, Any]) -> dict[str, Any]:
    components = document.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    return schemes if isinstance(schemes, dict) else {}


def _descriptions(schemes: Mapping[str, Any]) -> dict[str, str]:
    flows = [
        flow
        for scheme in schemes.values()
        if isinstance(scheme, dict) and isinstance(scheme.get("flows"), dict)
        for flow in scheme["flows"].values()
        if isinstance(flow, dict) and isinstance(flow.get("scopes"), dict)
    ]
    return {str(scope): " ".join(str(text).split()) for flow in flows for scope, text in flow["scopes"].items()}


def _operations(document: Mapping[str, Any], schemes: Mapping[str, Any], only: frozenset[str]) -> Iterator[Operation]:
    seen: set[tuple[str, str]] = set()
    for path, item in document.get("paths", {}).items():
        if not isinstance(item, dict):
            continue
        for method in _METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                found = _operation(document, path, item, method.upper(), operation, schemes, only)
                shape = (found.method, _PARAMETER.sub("{}", found.template))
                if shape in seen and not found.why:
                    found = Operation(found.method, found.template, why="another path matches the same requests")
                seen.add(shape)
                yield found


def _operation(
    document: Mapping[str, Any],
    path: str,
    item: Mapping[str, Any],
    method: str,
    operation: Mapping[str, Any],
    schemes: Mapping[str, Any],
    only: frozenset[str],
) -> Operation:
    servers = operation.get("servers") or item.get("servers") or document.get("servers")
    written = f"{_base(servers)}{path}"
    if "$ref" in item:
        return Operation(method, written, why="its path is a reference to another document (bundle them into one)")
    try:
        template = _template(written)
    except Undecided as error:
        return Operation(method, written, why=str(error))
    try:
        requirement = requirement_of(operation.get("security", document.get("security")), schemes, only)
        _check_names(requirement)
    except Undecided as error:
        return Operation(method, template, why=str(error))
    return Operation(method, template, requirement)


def _base(servers: Any) -> str:
    """The path of the first server, to which all paths are relative."""
    first = servers[0] if isinstance(servers, list) and servers else None
    url = first.get("url", "") if isinstance(first, dict) else ""
    return urlsplit(re.sub(r"^\w+://\{[^}]*\}", "http://host", str(url))).path.rstrip("/")


def _template(path: str) -> str:
    """The path as a route holds it, names made plain. Raises Undecided."""
    if path != "/" and path.endswith("/"):
        raise Undecided("its path ends in a slash, which no route does")
    segments = path.split("/")[1:]
    if not path.startswith("/") or (path != "/" and not all(segments)):
        raise Undecided("its path has an empty segment")
    return "/" + "/".join(_segment(each) for each in segments)


def _segment(segment: str) -> str:
    parameter = _PARAMETER.fullmatch(segment)
    if parameter is not None:
        name = re.sub(r"\W", "_", parameter[1], flags=re.ASCII)
        return f"{{{'_' if name[0].isdigit() else ''}{name}}}"
    if segment and (not _LITERAL.fullmatch(segment) or segment in (".", "..")):
        raise Undecided(f"its segment {segment} is neither a parameter nor plain text")
    return segment


def _check_names(requirement: Requirement) -> None:
    for scope in (*requirement.all_of, *requirement.any_of):
        if not _SCOPE.fullmatch(scope):
            raise Undecided(f"its scope {scope!r} is no scope of RFC 6749")
