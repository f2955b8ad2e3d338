"""Signatures of bundles: what OPA and we both take, and every way in which one is refused."""

import base64
import hashlib
import hmac
import json
import subprocess
from pathlib import Path

import pytest

from authz import bundle
from authz.bundle import BundleError, KeyRefusedError, Signed
from authz.bundle.signatures import file_hash, signed_token, write_token
from tests.bundle.signers import SIGNATURES, Signer, claims_of, make_signer, token, with_tokens

ALGORITHMS = ["ES256", "ES384", "EdDSA", "PS256", "RS256"]


@pytest.fixture
def release(tmp_path: Path) -> Signer:
    """The key that is trusted."""
    return make_signer(tmp_path, "release")


@pytest.fixture
def second(tmp_path: Path) -> Signer:
    """Another key, for four eyes or for a stranger."""
    return make_signer(tmp_path, "second")


def signed(members: dict[str, bytes], *signers: Signer, sequence: int = 7) -> bytes:
    """The members signed by each in turn."""
    archive = bundle.sign(bundle.pack(members), signers[0].signing, sequence)
    for signer in signers[1:]:
        archive = bundle.countersign(archive, signer.signing)
    return archive


def refusal(members: dict[str, bytes], *keys: Signer, required: int = 1) -> tuple[str, str]:
    """The code and the sentence with which members are refused."""
    with pytest.raises(BundleError) as refused:
        bundle.verify_signatures(members, [key.verification for key in keys], required)
    return refused.value.code, str(refused.value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_was_signed_verifies(members: dict[str, bytes], tmp_path: Path, algorithm: str) -> None:
    """With each algorithm, and says whose signature it is and its sequence."""
    signer = make_signer(tmp_path, "k", algorithm)

    found = bundle.read(signed(members, signer))

    assert bundle.verify_signatures(found.members, [signer.verification]) == Signed(7, ("k",))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_opa_takes_what_we_signed(
    members: dict[str, bytes], tmp_path: Path, opa_binary: Path, algorithm: str, second: Signer
) -> None:
    """The real one, countersigned or not; and it refuses the same with the wrong key."""
    signer = make_signer(tmp_path, "k", algorithm)
    archive = tmp_path / "b.tar.gz"
    archive.write_bytes(signed(members, signer, second))

    assert opa_takes(opa_binary, archive, signer.public, "k", algorithm) == ""
    stranger = make_signer(tmp_path, "stranger", algorithm)
    assert "failed to verify JWT signature" in opa_takes(opa_binary, archive, stranger.public, "k", algorithm)


def opa_takes(opa: Path, archive: Path, key: Path, key_id: str, algorithm: str) -> str:
    """Nothing if OPA loads a bundle with this key, else what it says."""
    command: list[str | Path] = [opa, "build", "--bundle", archive, "-o", archive.with_name("built")]
    command += ["--verification-key", key, "--verification-key-id", key_id, "--signing-alg", algorithm]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_we_take_what_opa_signed(members: dict[str, bytes], tmp_path: Path, opa_binary: Path, algorithm: str) -> None:
    """With the key's name and the sequence as claims; without a name it counts for nothing."""
    signer = make_signer(tmp_path, "k", algorithm)

    named = bundle.read(opa_signed(opa_binary, tmp_path, members, signer, algorithm, {"keyid": "k", "sequence": 3}))
    unnamed = bundle.read(opa_signed(opa_binary, tmp_path, members, signer, algorithm, {"sequence": 3}))

    assert bundle.verify_signatures(named.members, [signer.verification]) == Signed(3, ("k",))
    assert refusal(unnamed.members, signer)[0] == "bundle_unsigned"


def opa_signed(
    opa: Path, directory: Path, members: dict[str, bytes], signer: Signer, algorithm: str, claims: dict[str, object]
) -> bytes:
    """The members signed by `opa sign`."""
    archive, stated = directory / "unsigned.tar.gz", directory / "claims.json"
    archive.write_bytes(bundle.pack(members))
    stated.write_text(json.dumps(claims))
    command: list[str | Path] = [
        opa,
        "sign",
        "--bundle",
        archive,
        "--signing-key",
        signer.private,
        "--signing-alg",
        algorithm,
    ]
    subprocess.run([*command, "--claims-file", stated, "-o", directory], check=True, capture_output=True)
    return bundle.pack({**members, SIGNATURES: (directory / SIGNATURES).read_bytes()})


def test_data_that_is_hard_to_spell_is_hashed_as_opa_does(
    members: dict[str, bytes], tmp_path: Path, opa_binary: Path, release: Signer
) -> None:
    """Odd numbers, escapes, separators and orders of keys: the hashes are OPA's, both ways."""
    hard = (
        rb'{"n":[1.0,-0,1e5,1E+2,0.10,12345678901234567890123,-0.0,5e-324],"s":"\u2028\u2029<&>\u00e9\b\f\u0001\u007f",'
    )
    hard += '"é":1,"Z":{"b":[],"a":{}},"z":null,"😀":true,"\uffff":false,"\\u0041":"\\/"}'.encode()
    members["data.json"] = b'{"authz":' + hard + b"}"

    theirs = bundle.read(opa_signed(opa_binary, tmp_path, members, release, "ES256", {"keyid": "release"}))
    ours = tmp_path / "ours.tar.gz"
    ours.write_bytes(signed(members, release))

    assert bundle.verify_signatures(theirs.members, [release.verification]) == Signed(0, ("release",))
    assert opa_takes(opa_binary, ours, release.public, "release", "ES256") == ""


def test_a_stripped_signature_is_refused(members: dict[str, bytes], release: Signer) -> None:
    """The bypass of OPA before 1.21.3: a bundle without signatures is not one that needs none."""
    assert refusal(members, release) == (
        "bundle_unsigned",
        "the bundle has no .signatures.json: sign it with `authz policy sign`",
    )


@pytest.mark.parametrize("document", [b"{}", b'{"signatures":[]}', b"[]", b"", b"null", b'{"signatures":[""]}'])
def test_an_empty_signature_is_refused(members: dict[str, bytes], release: Signer, document: bytes) -> None:
    """A file of signatures with none in it is not a signed bundle either."""
    assert refusal({**members, SIGNATURES: document}, release)[0] == "bundle_signature"


def test_a_wrong_key_is_refused(members: dict[str, bytes], release: Signer, second: Signer) -> None:
    """Signed by somebody else, under his own name or under that of the trusted key."""
    archive = bundle.read(signed(members, second))
    posing = with_tokens(members, token(second.signing._replace(key_id="release"), claims_of(members)))

    assert refusal(archive.members, release) == (
        "bundle_unsigned",
        "0 of 1 signatures by known keys (it is signed by second; known are release)",
    )
    assert refusal(posing, release) == ("bundle_signature", "the signature of release does not verify")


def test_a_key_confused_with_a_secret_is_refused(members: dict[str, bytes], release: Signer) -> None:
    """The public key is public: an HMAC made with it, or no signature at all, is worth nothing."""
    for header in ({"alg": "HS256", "kid": "release"}, {"alg": "none", "kid": "release"}):
        message = write_token(header, claims_of(members))
        forged = signed_token(message, hmac.digest(release.public.read_bytes(), message, "sha256"))
        said = f"the signature of release is {header['alg']}, its key is for ES256"
        assert refusal(with_tokens(members, forged), release) == ("bundle_signature", said)


@pytest.mark.parametrize("name", ["data.json", ".manifest", "authz.wasm", "authz/authz.rego"])
def test_an_altered_file_is_refused(members: dict[str, bytes], release: Signer, name: str) -> None:
    """One byte of any file, or one role in the data."""
    found = bundle.read(signed(members, release)).members
    found[name] = found[name].replace(b"authz", b"Authz", 1) if b"authz" in found[name] else found[name] + b"\n"

    assert refusal(found, release) == ("bundle_altered", f"{name} is not what was signed")


def test_an_added_file_is_refused(members: dict[str, bytes], release: Signer) -> None:
    """Every file has to be in the signature: a rule more, and the policy is another one."""
    found = {**bundle.read(signed(members, release)).members, "authz/more.rego": b"package authz.more"}

    assert refusal(found, release) == (
        "bundle_altered",
        "authz/more.rego is not in the signature: it was added afterwards",
    )


def test_a_missing_file_is_refused(members: dict[str, bytes], release: Signer) -> None:
    """A rule less is another policy too."""
    found = bundle.read(signed(members, release)).members
    del found["authz/explain.rego"]

    assert refusal(found, release) == (
        "bundle_altered",
        "authz/explain.rego is in the signature and not in the bundle",
    )


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-1", "SHA-224", ""])
def test_a_weak_hash_is_refused(members: dict[str, bytes], release: Signer, algorithm: str) -> None:
    """OPA's format allows hashes that can be collided."""
    claims = claims_of(members)
    claims["files"][0] = {"name": ".manifest", "hash": hashlib.md5(b"").hexdigest(), "algorithm": algorithm}

    code, said = refusal(with_tokens(members, token(release.signing, claims)), release)

    assert (code, said) == (
        "bundle_signature",
        f".manifest is hashed with {algorithm}; SHA-256, SHA-384, SHA-512 count",
    )


def test_a_stronger_hash_counts(members: dict[str, bytes], release: Signer) -> None:
    """SHA-512, for those who have to."""
    claims = claims_of(members)
    claims["files"] = [
        {**file, "hash": file_hash(file["name"], members[file["name"]], "SHA-512"), "algorithm": "SHA-512"}
        for file in claims["files"]
    ]
    found = with_tokens(members, token(release.signing, claims))

    assert bundle.verify_signatures(found, [release.verification]) == Signed(1, ("release",))


def test_what_can_be_read_in_two_ways_is_refused(members: dict[str, bytes], release: Signer) -> None:
    """A file named twice, two names for the key, members twice, more than one signature for OPA, strange headers."""
    key, claims = release.signing, claims_of(members)
    twice = {**claims, "files": [*claims["files"], claims["files"][0]]}
    honest = token(key, claims)
    cases = {
        "the signature of release names a file twice": with_tokens(members, token(key, twice)),
        "a signature names two keys: kid and keyid differ": with_tokens(
            members, token(key, {**claims, "keyid": "other"})
        ),
        "a signature is for the scope 'write'; none is expected": with_tokens(
            members, token(key, {**claims, "scope": "write"})
        ),
        "a signature's header asks for what is not known here (crit, b64)": with_tokens(
            members, token(key, claims, {"alg": "ES256", "kid": "release", "crit": ["b64"]})
        ),
        ".signatures.json has 2 signatures where OPA takes exactly one": with_tokens(members, honest, honest),
        ".signatures.json: Object contains unknown field `plugin`": with_tokens(members, honest, plugin="x"),
        ".signatures.json: key 'signatures' appears twice in one object": {
            **members,
            SIGNATURES: b'{"signatures":[],"signatures":["' + honest.encode() + b'"]}',
        },
        "a signature is not in the one form of base64url": with_tokens(members, _malleable(honest)),
        "a signature is not base64url": with_tokens(members, honest + "!"),
        "a signature is not a JWT of three parts": with_tokens(members, honest + ".x"),
        "a signature's sequence is not between 0 and 9007199254740991": with_tokens(
            members, token(key, {**claims, "sequence": -1})
        ),
    }

    assert {said: refusal(found, release) for said, found in cases.items()} == {
        said: ("bundle_signature", said) for said in cases
    }


def _malleable(jwt: str) -> str:
    """The same signature in other letters: of the last one only four bits count."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return jwt[:-1] + letters[letters.index(jwt[-1]) | 1]


def test_four_eyes(members: dict[str, bytes], release: Signer, second: Signer, tmp_path: Path) -> None:
    """Two signatures of two different keys: not one, not one key twice under two names."""
    alone = bundle.read(signed(members, release)).members
    both = bundle.read(signed(members, release, second)).members
    again = bundle.read(bundle.countersign(signed(members, release), release.signing._replace(key_id="alias"))).members
    alias = release._replace(key_id="alias")

    assert bundle.verify_signatures(both, [release.verification, second.verification], 2) == Signed(
        7, ("release", "second")
    )
    assert refusal(alone, release, second, required=2)[0] == "bundle_unsigned"
    assert refusal(again, release, alias, required=2)[0] == "bundle_unsigned"
    assert refusal(both, release, required=2)[0] == "bundle_unsigned"


def test_signatures_of_different_things_do_not_add_up(
    members: dict[str, bytes], release: Signer, second: Signer
) -> None:
    """Two good signatures, of different files or of different sequences, are no agreement."""
    other = {**members, "authz/more.rego": b"package authz.more"}
    first = token(release.signing, claims_of(members))
    for disagreeing in (claims_of(other), claims_of(members, sequence=2)):
        found = with_tokens(members, first, countersignatures=[token(second.signing, disagreeing)])
        assert refusal(found, release, second) == (
            "bundle_signature",
            "the signatures are of different files or sequences",
        )


def test_keys_rotate(members: dict[str, bytes], release: Signer, second: Signer) -> None:
    """Signed with the old and the new key, a bundle is taken by who knows either."""
    both = bundle.read(signed(members, release, second)).members

    assert bundle.verify_signatures(both, [release.verification]) == Signed(7, ("release",))
    assert bundle.verify_signatures(both, [second.verification]) == Signed(7, ("second",))


def test_a_countersignature_is_of_what_is_there(members: dict[str, bytes], release: Signer, second: Signer) -> None:
    """An unsigned bundle cannot be countersigned, nor one that this key has signed."""
    with pytest.raises(BundleError, match="there is no signature to put this one beside"):
        bundle.countersign(bundle.pack(members), second.signing)
    with pytest.raises(BundleError, match="release has signed this bundle already"):
        bundle.countersign(signed(members, release), release.signing)


def test_keys_that_must_not_be_used(tmp_path: Path, release: Signer) -> None:
    """Weak ones, private ones in the place of public ones, other curves, other algorithms: each said in words."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    weak, curve = tmp_path / "weak.pub", tmp_path / "curve.pub"
    for file, key in ((weak, rsa.generate_private_key(65537, 1024)), (curve, ec.generate_private_key(ec.SECP256K1()))):
        file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    usable = "key k: use EC P-256 or P-384, Ed25519, or RSA of 2048 bits or more"
    cases = [
        (weak, None, usable),
        (curve, None, usable),
        (release.private, None, "key k: this is the private key; give the public one to whoever verifies"),
        (tmp_path / "none", None, f"key k: {tmp_path / 'none'}: No such file or directory"),
        (release.public, "HS256", "key k: cannot be used with HS256, only with ES256"),
        (release.public, "RS256", "key k: cannot be used with RS256, only with ES256"),
    ]
    for file, algorithm, said in cases:
        with pytest.raises(KeyRefusedError) as refused:
            bundle.read_verification_key("k", file, algorithm)
        assert str(refused.value) == said
    with pytest.raises(KeyRefusedError, match="no private key in PEM"):
        bundle.read_signing_key("k", release.public)


def test_the_token_is_base64url_json(members: dict[str, bytes], release: Signer) -> None:
    """Anybody can look into a signature: the header names key and algorithm."""
    document = json.loads(bundle.read(signed(members, release)).members[SIGNATURES])
    head = document["signatures"][0].partition(".")[0]

    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "ES256", "typ": "JWT", "kid": "release"}
