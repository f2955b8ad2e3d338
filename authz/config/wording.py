"""What is said of a setting that is unknown or wrong: its key, where it came from, and what was meant or is allowed."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from authz.config.settings import Settings

_UNKNOWN = re.compile("Object contains unknown field `(.*)`")


def worded(error: msgspec.ValidationError, environment: Mapping[str, str]) -> str:
    """`audit.mode: Invalid enum value 'lax'; it is one of strict, degraded`: the key first, the fix last."""
    what, _, where = str(error).partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    unknown = _UNKNOWN.match(what)
    if unknown:
        what = _unknown(key, unknown[1], environment)
    elif what.startswith("Invalid enum value"):
        what += f"; it is one of {', '.join(map(str, get_args(_declared(key))))}"
    return f"{key}: {what}" if key else what


def _unknown(section: str, name: str, environment: Mapping[str, str]) -> str:
    path = "AUTHZ_" + "__".join([*_names(section), name]).upper()
    variable = next((each for each in sorted(environment) if each == path or each.startswith(f"{path}__")), None)
    origin = f" (from {variable})" if variable else ""
    declared = _declared(section)
    known = declared.__struct_fields__ if isinstance(declared, type) and issubclass(declared, Struct) else ()
    close = get_close_matches(name, known, n=1)
    return f"unknown setting `{name}`{origin}; " + (
        f"did you mean `{close[0]}`?" if close else "`authz config reference` lists all"
    )


def _declared(key: str) -> Any:
    """The type of a setting or section: a Struct, a Literal, a plain type."""
    found: Any = Settings
    for name in _names(key):
        field = next(each for each in msgspec.structs.fields(found) if each.name == name)
        found = _plain(field.type)
    return found


def _names(key: str) -> list[str]:
    return re.sub(r"\[.*?\]", "", key).split(".") if key else []


def _plain(annotation: Any) -> Any:
    """Without its description, without None, and of a list what it holds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated or origin is tuple:
        return _plain(arguments[0])
    if origin is UnionType or origin is Union:
        return _plain(next(each for each in arguments if each is not type(None)))
    return annotation if origin is Literal or origin is None else origin
