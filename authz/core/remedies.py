"""What helps where the service itself refused: for each such reason, what happened and what to do."""

from typing import Final, NamedTuple


class Remedy(NamedTuple):
    """`because` ends the sentence that begins with "Denied:"; `fix` is a sentence of its own."""

    because: str
    fix: str


REMEDIES: Final[dict[str, Remedy]] = {
    "token_missing": Remedy(
        "nobody is identified: there is no bearer token, and no subject on the word of a trusted caller.",
        "Send `Authorization: Bearer TOKEN`; a caller that states subjects itself needs `trusted_to_assert`.",
    ),
    "token_malformed": Remedy(
        "the token is not a JSON Web Token that can be read.",
        "Send the whole access token as the issuer gave it; opaque tokens are not supported.",
    ),
    "token_signature": Remedy(
        "no key of the issuer verifies the token's signature.",
        "Get a new token; if all fail, compare the token's kid with the issuer's `keys` and its `algorithms`.",
    ),
    "token_expired": Remedy(
        "the token's exp is past.",
        "Get a new token; if it is new, set the clocks, or the issuer's `leeway_seconds`.",
    ),
    "token_not_yet_valid": Remedy(
        "the token's nbf or iat is in the future.",
        "Set the clocks of the issuer and of this machine (NTP), or the issuer's `leeway_seconds`.",
    ),
    "token_issuer": Remedy(
        "the token's iss is none of the configured issuers.",
        "Get a token from a configured issuer, or add this one under `[[issuers]]`, letter by letter.",
    ),
    "token_audience": Remedy(
        "the token's aud is none that is accepted here.",
        "Ask the issuer for a token for this service, or add the audience to the issuer's `audiences`.",
    ),
    "token_type": Remedy(
        "it is not an access token (perhaps an ID or refresh token).",
        "Send the access token, or add its typ to the issuer's `token_types`.",
    ),
    "token_revoked": Remedy(
        "the token, its session or its subject has been revoked.",
        "Sign in again; `authz revoke list` shows the revocation and why, `authz revoke lift` ends it.",
    ),
    "token_too_large": Remedy(
        "the token is larger than 8 KiB.",
        "Have the issuer leave out claims that this service does not need.",
    ),
    "token_binding": Remedy(
        "the token is bound to a key or certificate of another client (cnf).",
        "Send a token that is not bound: this service does not check proof of possession.",
    ),
    "ambiguous_path": Remedy(
        "the path can be read in more than one way (encoded slashes, dot segments and the like).",
        "Send the canonical path; a route that needs such a form says so with `accepts`.",
    ),
    "subject_mismatch": Remedy(
        "the request states another subject than its token is for.",
        "Leave the subject out, or send the token of the subject that is stated.",
    ),
    "policy_undefined": Remedy(
        "the policy gave no answer to this question.",
        "Give `data.authz.decision` a default, so that every input has an answer.",
    ),
    "policy_contract": Remedy(
        "the policy's answer is outside the contract.",
        "Correct what `data.authz.decision` returns; docs/policy.md has its form.",
    ),
    "policy_error": Remedy(
        "evaluating the policy failed or took too long.",
        "The service's log names the failure; `authz policy rollback` goes back to the policy before.",
    ),
    "policy_stale": Remedy(
        "nobody has confirmed the policy in force for longer than is allowed.",
        "Restore the way to `policy.source`; `authz policy status` says what fails.",
    ),
    "engine_unavailable": Remedy(
        "the OPA server does not answer.",
        "Start it or restore the way to it (`opa.url`); /readyz says which check fails.",
    ),
    "keys_unavailable": Remedy(
        "the issuer's keys cannot be had, so that no token can be verified.",
        "Restore the way to the issuer's `keys`; /readyz names the issuer.",
    ),
    "limits_unavailable": Remedy(
        "the shared rate limits cannot be counted.",
        "Restore the way to the store of the limits; /readyz and the log say what fails.",
    ),
    "audit_unavailable": Remedy(
        "the decision could not be recorded, and what is not recorded is not given.",
        "Make room or mend the disk of the state directory; `authz audit verify` says what is wrong.",
    ),
    "overloaded": Remedy(
        "too many decisions were waiting, or the caller does not wait any longer.",
        "Ask again; if it goes on, start more replicas or find out what is slow (docs/metrics.md).",
    ),
}
