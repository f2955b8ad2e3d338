"""Settings in words: the reference table, and a configuration to start from."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from authz.config.loading import production_needs
from authz.config.settings import Settings


class _Row(NamedTuple):
    key: str
    kind: str
    default: str
    meaning: str


def reference() -> str:
    """Every setting as a Markdown table: key, type, default, meaning."""
    lines = [
        "Each key can also be set as an environment variable: `AUTHZ_` and the key in upper case, `__` for each dot",
        "(`AUTHZ_AUDIT__PSEUDONYM_KEY`); lists and tables as JSON.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{row.key}` | {row.kind} | {row.default} | {row.meaning} |" for row in _rows(Settings, "")]
    return "\n".join(lines)


def _rows(section: type[Struct], prefix: str) -> Iterator[_Row]:
    for field in msgspec.structs.fields(section):
        meaning = next(meta.description for meta in get_args(field.type)[1:] if meta.description)
        inner = get_args(field.type)[0]
        key = f"{prefix}{field.name}"
        is_list = get_origin(inner) is tuple
        entry = next(each for each in (get_args(inner) or (inner,)) if each is not type(None))
        if isinstance(entry, type) and issubclass(entry, Struct):
            yield from _rows(entry, f"{key}{'[]' if is_list else ''}.")
        else:
            yield _Row(key, _kind(inner), _default(field), meaning.replace("|", "\\|"))


def _kind(annotation: Any) -> str:
    """The type of a setting in words a TOML writer knows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin is tuple:
        return "list of strings"
    if origin is dict:
        return "table of strings"
    if origin is UnionType or origin is Union:
        return _kind(next(each for each in arguments if each is not type(None)))
    return {str: "string", int: "integer", float: "number", bool: "true or false"}[annotation]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    if field.default is msgspec.NODEFAULT:
        return "required"
    if field.default is None:
        return "not set"
    shown = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{msgspec.json.encode(shown).decode()}`"


def starter() -> str:
    """A configuration to start from: every setting that has to be stated, and where its value comes from."""
    needs = production_needs(Settings())
    tables = [lines for _, lines in needs if lines.startswith(("[[", "[policy]"))]
    plain = [lines for _, lines in needs if not lines.startswith("[")]
    audit = [lines.removeprefix("[audit]\n") for _, lines in needs if lines.startswith("[audit]")]
    parts = [
        "# authz: every setting is explained by `authz config reference`.",
        *plain,
        'listen = "127.0.0.1:8080"\nadmin_listen = "127.0.0.1:8081"',
        *tables,
        "[audit]\n" + "\n".join(audit),
    ]
    return "\n\n".join(parts) + "\n"
