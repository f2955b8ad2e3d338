"""`[audit.fields]` as what the core does to each field. `keep` costs nothing: it is what the core does anyway."""

from collections.abc import Callable
from typing import Final

from authz.config import FieldSettings
from authz.core import (
    KEPT,
    ConfigurationError,
    Fields,
    Pseudonyms,
    Treatment,
    as_catalogued,
    coarse_address,
    coarse_agent,
    shortened,
)
from authz.privacy.sealing import Sealer

_Text = Callable[[str | None], str | None]
_Param = Callable[[str, Treatment, Pseudonyms], str | None]


def read_fields(settings: FieldSettings, sealer: Sealer | None) -> Fields:
    """Raises ConfigurationError when something is to be encrypted and there is nobody to seal to."""
    if settings == FieldSettings():
        return KEPT
    return Fields(
        ip=_text(settings.ip, coarse_address, sealer),
        user_agent=_text(settings.user_agent, coarse_agent, sealer),
        session_id=settings.session_id == "keep",
        param=_param(settings.params, sealer),
    )


def _text(how: str, coarse: _Text, sealer: Sealer | None) -> _Text:
    if how == "encrypt":
        return _sealing(_needed(sealer))
    return {"keep": shortened, "coarsen": coarse, "drop": _dropped}[how]


def _param(how: str, sealer: Sealer | None) -> _Param:
    if how == "encrypt":
        return _sealing_param(_needed(sealer))
    return _PARAMS[how]


def _needed(sealer: Sealer | None) -> Sealer:
    if sealer is None:
        raise ConfigurationError("audit.security_key: is needed by what audit.fields encrypts")
    return sealer


def _dropped(_text: str | None) -> None:
    return None


def _sealing(sealer: Sealer) -> _Text:
    def seal(text: str | None) -> str | None:
        short = shortened(text)
        return sealer.field(short) if short else None

    return seal


def _sealing_param(sealer: Sealer) -> _Param:
    def seal(value: str, treatment: Treatment, _pseudonyms: Pseudonyms) -> str | None:
        return None if treatment == "drop" else sealer.field(shortened(value) or "")

    return seal


def _hashed(value: str, treatment: Treatment, pseudonyms: Pseudonyms) -> str | None:
    return None if treatment == "drop" else pseudonyms.pseudonym(value)


def _not_written(_value: str, _treatment: Treatment, _pseudonyms: Pseudonyms) -> None:
    return None


_PARAMS: Final[dict[str, _Param]] = {"keep": as_catalogued, "coarsen": _hashed, "drop": _not_written}
