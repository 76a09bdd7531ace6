"""Names of certificates in renewal information: whatever stands there, one certificate or one refusal."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ca_server.core.acme.certid import CertId, parse_certid
from ca_server.core.errors import CaError, Kind

# The one of RFC 9773 §4.1.
EXAMPLE = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_the_example_of_the_rfc():
    certid = parse_certid(EXAMPLE)
    assert certid.key_identifier.hex() == "69885b6b87464041e1b37b847ba0ae2cde01c8d4"
    assert certid.serial_number == 0x87654321
    assert str(certid) == EXAMPLE


@given(st.binary(min_size=1, max_size=32), st.integers(min_value=1, max_value=2**159 - 1))
def test_every_name_is_read_back(key_identifier, serial_number):
    certid = CertId(key_identifier, serial_number)
    assert parse_certid(str(certid)) == certid


@given(st.text(max_size=200))
@example("a" * 10_000)
@example(".".join(["A"] * 1000))
def test_whatever_comes_is_a_name_or_a_refusal(text):
    with contextlib.suppress(CaError):
        assert str(parse_certid(text)) == text


@given(st.text(alphabet="AEQgwaz019_-.", max_size=60))
def test_no_certificate_has_two_names(text):
    with contextlib.suppress(CaError):
        assert str(parse_certid(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ",
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.",
        ".AIdlQyE",
        f"{EXAMPLE}=",
        f"{EXAMPLE}.AA",
        f" {EXAMPLE}",
        EXAMPLE.replace("Q.", "R."),  # stray bits
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.h2VDIQ",  # negative
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AA",  # zero
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AACHZUMh",  # a needless zero octet
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ." + "AQ" * 14 + "AA",  # 21 octets
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE\u0000",
        "\u00e4Yhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE",
    ],
)
def test_crafted_names_are_refused(text):
    with pytest.raises(CaError) as caught:
        parse_certid(text)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.MALFORMED, ("ACME-CERTID",))
