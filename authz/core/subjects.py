"""Who a question is about, as far as the request itself may say."""

from typing import Any

import msgspec

from authz.core.errors import BadRequestError
from authz.core.model import AccessRequest, Entity, Subject
from authz.core.ports import Pseudonyms

_DERIVED = frozenset({"token", "roles", "scopes", "scope_mode", "issuer"})
"""Members of `subject.properties` that are never passed on as they came."""

_MAX_NAMES = 256
_MAX_NAME_CHARACTERS = 128
_MAX_NAMES_BYTES = 8192
_MOST_BYTES = 6
"""Of one character in JSON: `\\u0001`."""


def with_stated_properties(verified: Subject, request: AccessRequest) -> Subject:
    """A verified subject with what a trusted caller adds; never its roles, scopes or claims: those are the token's."""
    stated = request.subject
    if stated is None or not stated.properties or not request.caller.trusted_to_assert:
        return verified
    added = {k: v for k, v in stated.properties.items() if k not in _DERIVED and k != "claims"}
    return msgspec.structs.replace(verified, properties={**added, **verified.properties}) if added else verified


def asserted(stated: Entity, pseudonyms: Pseudonyms) -> Subject:
    """The subject on a trusted caller's word.

    Raises BadRequestError, naming the property, when roles, scopes or scope mode cannot be read.
    """
    mode = stated.properties.get("scope_mode", "restrict")
    if mode not in ("restrict", "grant", "ignore"):
        raise BadRequestError("subject.properties.scope_mode: must be restrict, grant or ignore")
    return Subject(
        type=stated.type,
        id=stated.id,
        source="asserted",
        pseudonym=pseudonyms.pseudonym(stated.id) if stated.id else None,
        roles=_names(stated.properties, "roles") or (),
        scopes=_names(stated.properties, "scopes"),
        scope_mode=mode,
        properties={k: v for k, v in stated.properties.items() if k not in _DERIVED},
    )


def _names(properties: dict[str, Any], member: str) -> tuple[str, ...] | None:
    value = properties.get(member)
    if value is None:
        return None
    if not isinstance(value, list) or not {str}.issuperset(map(type, value)):
        raise BadRequestError(f"subject.properties.{member}: must be an array of strings")
    if len(value) > _MAX_NAMES or max(map(len, value), default=0) > _MAX_NAME_CHARACTERS:
        raise BadRequestError(
            f"subject.properties.{member}: at most {_MAX_NAMES} of at most {_MAX_NAME_CHARACTERS} characters each"
        )
    if sum(map(len, value)) * _MOST_BYTES > _MAX_NAMES_BYTES and len(msgspec.json.encode(value)) > _MAX_NAMES_BYTES:
        raise BadRequestError(f"subject.properties.{member}: at most {_MAX_NAMES_BYTES} bytes as JSON")
    return tuple(value)
