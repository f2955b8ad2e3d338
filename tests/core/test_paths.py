"""A path is accepted only when every proxy and framework reads it as the same segments."""

import re
from unicodedata import normalize
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz.core import normalise_host, split_path
from tests.properties import many

AMBIGUOUS = {
    "empty segment, leading": "//admin",
    "empty segment, inner": "/a//b",
    "empty segments, trailing": "/a//",
    "slashes only": "//",
    "dot-dot": "/a/../admin",
    "dot-dot at the end": "/a/..",
    "dot-dot at the beginning": "/../../x",
    "dot": "/a/./b",
    "dot at the end": "/a/.",
    "dot before the query": "/a/..?x=1",
    "encoded dots": "/a/%2e%2e/admin",
    "one encoded dot": "/a/.%2E/admin",
    "encoded dot inside a name": "/a%2etxt",
    "encoded slash": "/a%2fb",
    "encoded slash, upper case": "/a%2F..%2Fadmin",
    "backslash": "/a\\b",
    "encoded backslash": "/a%5cb",
    "encoded backslashes and dots": "/%5C..%5C",
    "matrix parameter": "/a/;x=1/b",
    "matrix parameter on a name": "/admin;v=1/x",
    "dot-dot with a matrix parameter": "/a/..;/admin",
    "encoded semicolon": "/a%3bx=1",
    "NUL": "/a%00b",
    "encoded line feed": "/a%0ab",
    "encoded DEL": "/a%7fb",
    "encoded NEL, a control character beyond ASCII": "/a%c2%85b",
    "percent at the end": "/a%",
    "percent with one digit": "/a%2",
    "percent without hex digits": "/%zz",
    "IIS's own escapes": "/%u002f",
    "encoded twice": "/a%252fb",
    "encoded twice, any character": "/%2561dmin",
    "encoded twice, the digits encoded as well": "/a%25%32%66b",
    "encoded twice, the last digit encoded as well": "/a%252%66b",
    "encoded three times": "/a%25252fb",
    "fragment": "/a#frag",
    "encoded number sign": "/a%23frag",
    "encoded question mark": "/public%3f/admin",
    "raw tab": "/a\tb",
    "raw NUL": "/a\x00b",
    "raw line feed": "/a\n",
    "raw space": "/a b",
    "raw byte beyond ASCII": "/\udce4",
    "raw character beyond ASCII": "/ä",
    "overlong slash": "/%c0%af",
    "not UTF-8": "/%e4",
    "a lone surrogate in UTF-8": "/%ed%a0%80",
    "dot-dot and a space": "/a/..%20/admin",
    "a space and a dot": "/a/%20./admin",
    "dot-dot and an ideographic space": "/a/..%E3%80%80",
    "full-width dot-dot": "/a/%ef%bc%8e%ef%bc%8e/admin",
    "two dot leader": "/a/%e2%80%a5/admin",
    "one dot leader and a dot": "/a/%e2%80%a4./admin",
    "full-width percent sign before hex digits": "/a%ef%bc%852fb",
    "full-width slash": "/a%ef%bc%8fadmin",
    "full-width backslash": "/a%ef%bc%bcadmin",
    "small backslash": "/a%ef%b9%a8admin",
    "account of, which folds to a/c": "/a%e2%84%80",
    "empty": "",
    "query only": "?a=b",
    "no slash": "admin",
    "asterisk": "*",
    "absolute form": "http://other/abs",
    "authority form": "a:1",
}

PLAIN = {
    "/": ("",),
    "/?": ("",),
    "/a": ("a",),
    "/a/": ("a", ""),
    "/a?": ("a",),
    "/a?x=/../%2f;#": ("a",),
    "/memory/42": ("memory", "42"),
    "/ADMIN": ("ADMIN",),
    "/%61dmin": ("admin",),
    "/%41%4a": ("AJ",),
    "/.well-known/x": (".well-known", "x"),
    "/...": ("...",),
    "/a.b/c..d/e.": ("a.b", "c..d", "e."),
    "/-/~/_": ("-", "~", "_"),
    "/user@example.com": ("user@example.com",),
    "/user%40example.com": ("user@example.com",),
    "/a:b,c=d&e+f!g$h'i(j)k*l": ("a:b,c=d&e+f!g$h'i(j)k*l",),
    "/a%20b": ("a b",),
    "/a%2Bb": ("a+b",),
    "/100%25": ("100%",),
    "/100%25zz": ("100%zz",),
    "/caf%C3%A9": ("café",),
    "/%F0%9F%98%80": ("😀",),
    "/%E4%BD%A0%E5%A5%BD%EF%BC%9F": ("你好\uff1f",),
    "/%C2%BD": ("½",),
    "/..%20a": (".. a",),
    '/{id}/[x]/"<>|^`': ("{id}", "[x]", '"<>|^`'),
}


@pytest.mark.parametrize("target", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_path_is_refused(target: str) -> None:
    """What two readers could take for two paths is no path."""
    assert split_path(target) is None


@pytest.mark.parametrize(("target", "segments"), PLAIN.items(), ids=PLAIN.keys())
def test_a_plain_path_is_split(target: str, segments: tuple[str, ...]) -> None:
    """A plain path gives exactly its decoded segments, without the query."""
    assert split_path(target) == segments


ENCODED = ["%", "%2", "%25", "%2f", "%2e", "%5c", "%3b", "%3f", "%23", "%00", "%C3", "%A9", "%C2", "%85", "%32", "%66"]
BITS = [*ENCODED, *"/.256fec0?#;\\aZ~é\n", "//", ".."]
TARGETS = st.lists(st.sampled_from(BITS), max_size=8).map(lambda bits: "/" + "".join(bits)) | st.text()


@many
@given(TARGETS)
@example("/a%25%32%66b")
def test_an_accepted_path_has_one_spelling_that_means_the_same(target: str) -> None:
    """Whoever decodes an accepted path and encodes it again ends at the same segments."""
    segments = split_path(target)
    if segments is not None:
        assert split_path("/" + "/".join(quote(segment, safe="") for segment in segments)) == segments


@many
@given(TARGETS)
def test_an_accepted_segment_is_only_a_name(target: str) -> None:
    """No accepted segment is a dot segment, or holds a delimiter, a control character or another encoding."""
    segments = split_path(target) or ()
    assert "" not in segments[:-1]
    for segment in segments:
        assert segment not in (".", "..")
        assert not set(segment) & set("/\\;?#")
        assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in segment)
        assert not re.search("%[0-9A-Fa-f]{2}", segment)


SEGMENTS = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\;?#."), min_size=1).filter(
    lambda segment: not set(normalize("NFKC", segment)) & set("%./\\")
)


@many
@given(st.lists(SEGMENTS, min_size=1).map(tuple))
def test_any_name_can_be_asked_for(segments: tuple[str, ...]) -> None:
    """An ID of any script, percent-encoded as it should be, is accepted as it is."""
    assert split_path("/" + "/".join(quote(segment, safe="") for segment in segments)) == segments


def test_a_long_hostile_path_is_refused_at_once() -> None:
    """The time to refuse a path grows with its length and no faster."""
    assert split_path("/a" * 50_000 + "/..") is None
    assert split_path("/" + "a" * 100_000 + ";") is None


HOSTS = {
    "api.test": "api.test",
    "API.Test": "api.test",
    "api.test.": "api.test",
    "api.test:8443": "api.test",
    "API.TEST.:80": "api.test",
    "localhost": "localhost",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "my_service": "my_service",
    "192.0.2.7:80": "192.0.2.7",
    "[::1]": "[::1]",
    "[::1]:8080": "[::1]",
    "[0:0:0:0:0:0:0:1]": "[::1]",
    "[2001:DB8::A]": "[2001:db8::a]",
}

NO_HOSTS = {
    "empty": "",
    "port only": ":80",
    "dot": ".",
    "two trailing dots": "api.test..",
    "leading dot": ".api.test",
    "empty label": "api..test",
    "empty port": "api.test:",
    "port is no number": "api.test:x",
    "port in other digits": "api.test:\uff18\uff10",
    "two ports": "api.test:80:80",
    "user": "user@api.test",
    "user and password": "user:pass@api.test",
    "space": "api test",
    "trailing space": "api.test ",
    "trailing line feed": "api.test\n",
    "slash": "api.test/x",
    "two hosts": "api.test,evil.test",
    "percent": "api%2etest",
    "leading hyphen": "-api.test",
    "trailing hyphen": "api-",
    "unicode": "äpi.test",
    "unicode that lower-cases to ASCII": "\u212aube.test",
    "fullwidth dot": "api\uff0etest",
    "raw byte": "api\udce4",
    "IPv6 without brackets": "::1",
    "not IPv6": "[:::]",
    "IPv6 with a trailing dot": "[::1].",
    "IPv6 with a zone": "[fe80::1%25eth0]",
    "unclosed bracket": "[::1",
}


@pytest.mark.parametrize(("host", "normal"), HOSTS.items(), ids=HOSTS.keys())
def test_a_host_has_one_form(host: str, normal: str) -> None:
    """Case, port, trailing dot and the spelling of an address do not make another host."""
    assert normalise_host(host) == normal
    assert normalise_host(normal) == normal


@pytest.mark.parametrize("host", NO_HOSTS.values(), ids=NO_HOSTS.keys())
def test_what_is_no_host_is_refused(host: str) -> None:
    """A Host that could name another host to another reader is none."""
    assert normalise_host(host) is None


@many
@given(st.text(st.sampled_from("aZ09.-_:[]@ /,%\u212a\n"), max_size=12) | st.text(max_size=8))
def test_a_normal_host_stays_as_it_is(host: str) -> None:
    """Normalising twice changes nothing, and leaves lower-case ASCII only."""
    normal = normalise_host(host)
    if normal is not None:
        assert normalise_host(normal) == normal
        assert normal == normal.lower()
        assert normal.isascii()
