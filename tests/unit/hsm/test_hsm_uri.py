"""Names of keys (RFC 7512)."""

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.hsm.uri import KeyUri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pkcs11:token=issuing;object=issuing-i1", KeyUri("issuing", "issuing-i1")),
        ("pkcs11:token=issuing;id=%01%fF", KeyUri("issuing", None, b"\x01\xff")),
        ("pkcs11:token=issuing;id=ab", KeyUri("issuing", None, b"ab")),
        ("pkcs11:type=private;object=a;token=b", KeyUri("b", "a")),
        ("pkcs11:token=The%20Software;object=a%3Bb%2Fc", KeyUri("The Software", "a;b/c")),
        (
            "pkcs11:token=t%C3%BCr;object=a:b[c]@d!e$f'(g)*h+i,j=k&l",
            KeyUri("tür", "a:b[c]@d!e$f'(g)*h+i,j=k&l"),
        ),
    ],
)
def test_names_are_read(text, expected):
    assert KeyUri.parse(text) == expected


def test_one_spelling_is_written():
    uri = KeyUri("The Software", "a;b", b"\x00k")
    assert str(uri) == "pkcs11:token=The%20Software;object=a%3Bb;id=%00%6B;type=private"
    assert KeyUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pkcs11:",
        "PKCS11:token=a;object=b",
        "http://token=a;object=b",
        "pkcs11:object=b",
        "pkcs11:token=a",
        "pkcs11:token=;object=b",
        "pkcs11:token=a;object=",
        "pkcs11:token=a;id=",
        "pkcs11:token=a;object=b;",
        "pkcs11:token=a;;object=b",
        "pkcs11:token=a;object",
        "pkcs11:token=a;object=b;object=b",
        "pkcs11:token=a;object=b;type=public",
        "pkcs11:token=a;object=b;slot-id=1",
        "pkcs11:token=a;object=b;serial=1",
        "pkcs11:token=a;object=b;x-vendor=1",
        "pkcs11:token=a;object=b%",
        "pkcs11:token=a;object=b%G1",
        "pkcs11:token=a;object=b%0",
        "pkcs11:token=a;object=%FF",
        "pkcs11:token=a;object=b c",
        "pkcs11:token=a;object=bü",
        "pkcs11:token=a;object=b%00",
        "pkcs11:token=a;object=%1B[2J",
        "pkcs11:token=a%20;object=b",
        "pkcs11:token=a;object=b?",
        "pkcs11:token=a;object=b?module-name=softhsm2",
        "pkcs11:token=a;object=b#fragment",
        "pkcs11:token=a;object=b\n",
        "pkcs11:token=" + 33 * "a" + ";object=b",
        "pkcs11:token=a;object=" + 129 * "b",
        "pkcs11:token=a;id=" + 65 * "b",
        "pkcs11:token=a;object=" + 2000 * "b",
    ],
)
def test_anything_else_is_malformed(text):
    with pytest.raises(CaError) as caught:
        KeyUri.parse(text)
    assert caught.value.kind is Kind.MALFORMED
    assert caught.value.rule_ids == ("HSM-URI",)


@pytest.mark.parametrize("query", ["pin-value=1234", "module-name=x&pin-value=1234", "pin-source=file:1234"])
def test_a_pin_in_a_uri_is_refused_and_never_repeated(query):
    with pytest.raises(CaError, match="PIN never stands") as caught:
        KeyUri.parse("pkcs11:token=a;object=b?" + query)
    assert "1234" not in caught.value.detail


def test_a_pin_as_a_path_attribute_is_refused_and_never_repeated():
    with pytest.raises(CaError) as caught:
        KeyUri.parse("pkcs11:token=a;object=b;pin-value=1234")
    assert "1234" not in caught.value.detail


@pytest.mark.parametrize(
    "parts", [("", "b"), ("a", ""), ("a", None, b""), ("a",), ("a\ud800", "b"), ("a", " b")]
)
def test_names_that_could_not_be_read_again_are_not_built(parts):
    with pytest.raises(CaError):
        KeyUri(*parts)
