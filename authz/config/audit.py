"""`[audit]`: the ledger, who signs it, what is written down, who else vouches for it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from authz.config.alarms import AlarmSettings


class WitnessSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[audit.witnesses]]`: somebody else who cosigns the node's checkpoint (docs/ledger.md)."""

    url: Annotated[
        str, Meta(min_length=1, description="https URL in front of /add-checkpoint (http to loopback only).")
    ]
    key: Annotated[str, Meta(min_length=1, description="Its verifier key, NAME+HASH+KEY: no other one counts.")]


class AnchorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[audit.anchors]]`: a place elsewhere to which the node's checkpoint is copied."""

    to: Annotated[
        str, Meta(min_length=1, description="`file:/DIRECTORY`, or an https URL to PUT below (http to loopback only).")
    ]
    every_seconds: Annotated[int, Meta(ge=1, le=86_400, description="Least time between two copies.")] = 60
    token_file: Annotated[str | None, Meta(description="File with a bearer token for the URL.")] = None


_Field = Literal["keep", "drop", "coarsen", "encrypt"]


class FieldSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit.fields]`: what of a request is written down, beside pseudonyms (docs/privacy.md)."""

    ip: Annotated[_Field, Meta(description="The client's address; coarsen: its /24 or /48.")] = "keep"
    user_agent: Annotated[_Field, Meta(description="coarsen: the names of the products, without versions.")] = "keep"
    session_id: Annotated[Literal["keep", "drop"], Meta(description="keep: as a pseudonym.")] = "keep"
    params: Annotated[
        _Field,
        Meta(description="Route parameters; keep: as the policy's catalogue says; coarsen: hash those it clears too."),
    ] = "keep"


class AuditSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[audit]`."""

    mode: Annotated[
        Literal["strict", "degraded"],
        Meta(
            description="strict: what cannot be recorded is answered 503. degraded: it goes out, and a gap is recorded."
        ),
    ] = "strict"
    on_damage: Annotated[
        Literal["page", "stop"],
        Meta(description="Damage in a sealed segment of the stream in use: say it loudly, or refuse to record (503)."),
    ] = "page"
    disk_reserve_bytes: Annotated[
        int, Meta(ge=0, description="With less room than this on the ledger's disk the service is not ready.")
    ] = 512 * 1024 * 1024
    privacy: Annotated[
        Literal["pseudonyms", "salts"] | None,
        Meta(
            description="pseudonyms: user IDs and parameters are keyed hashes. salts: each has a random salt as well, "
            "so that one person can be erased."
        ),
    ] = None
    pseudonym_key: Annotated[
        str | None,
        Meta(
            description="File with the key of the pseudonyms (32 bytes or more, mode 0600); older ones lie beside it, "
            "as FILE.<key id>."
        ),
    ] = None
    identities: Annotated[
        str | None, Meta(description="File of the erasable table of salts and names; else one in the state.")
    ] = None
    names: Annotated[
        bool, Meta(description="Keep clear user IDs in that table, sealed to `security_key`: `events --names`.")
    ] = False
    security_key: Annotated[
        str | None, Meta(description="File with the security team's public key, as `authz keys team` makes it.")
    ] = None
    fields: Annotated[FieldSettings, Meta(description="What of a request is written down.")] = FieldSettings()
    segment_bytes: Annotated[int, Meta(ge=4096, description="A segment is sealed at this size.")] = 64 * 1024 * 1024
    segment_seconds: Annotated[int, Meta(ge=1, description="A segment is sealed at this age.")] = 3600
    compress: Annotated[bool, Meta(description="Compress sealed segments that a signed checkpoint covers.")] = True
    retention_days: Annotated[
        int, Meta(ge=0, description="What `authz audit prune` keeps at least, in days; 0 = everything, for ever.")
    ] = 400
    queue_records: Annotated[int, Meta(ge=1, description="Records that may wait for the disk; more is 503.")] = 20_000
    auditor: Annotated[
        Literal["child", "external", "off"],
        Meta(description="Who signs: a child process of this one, `authz audit sign` elsewhere, or nobody."),
    ] = "child"
    signing_key: Annotated[
        str | None, Meta(description="File with the node's key, as `authz keys new` makes it; else one in the state.")
    ] = None
    index: Annotated[
        bool, Meta(description="The auditor keeps an index, by which events are found fast; else segments are read.")
    ] = True
    checkpoint_max_age_seconds: Annotated[
        int,
        Meta(ge=0, description="Not ready when records wait longer for a signed checkpoint; 0 = ready all the same."),
    ] = 0
    witnesses: Annotated[tuple[WitnessSettings, ...], Meta(description="Who else cosigns the node's checkpoint.")] = ()
    anchors: Annotated[tuple[AnchorSettings, ...], Meta(description="Where the node's checkpoint is copied to.")] = ()
    verify_seconds: Annotated[
        int, Meta(ge=0, description="The auditor verifies the whole ledger this often, at low priority; 0 = never.")
    ] = 86_400
    alarms: Annotated[AlarmSettings, Meta(description="Suspicious use.")] = AlarmSettings()
