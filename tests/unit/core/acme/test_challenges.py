"""What each challenge looks for, and where, held against the RFCs' own examples."""

from __future__ import annotations

import base64
import hashlib

import pytest

from ca_server.core.acme.challenges import alpn_digest, key_authorization, server_name, txt_name, txt_value
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.identifiers import parse_identifier

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
ACCOUNT = "https://example.com/acme/acct/ExampleAccount"


def test_the_key_authorization_joins_token_and_thumbprint():
    assert key_authorization(TOKEN, THUMBPRINT) == f"{TOKEN}.{THUMBPRINT}"


def test_dns_has_its_digest_in_base64url_and_tls_the_digest_itself():
    digest = hashlib.sha256(f"{TOKEN}.{THUMBPRINT}".encode()).digest()
    assert alpn_digest(TOKEN, THUMBPRINT) == digest
    assert base64.urlsafe_b64decode(txt_value(TOKEN, THUMBPRINT) + "=") == digest


@pytest.mark.parametrize(
    ("challenge", "name"),
    [
        (ChallengeType.DNS_01, "_acme-challenge.www.example.org"),
        # The example of draft-ietf-acme-dns-account-label.
        (ChallengeType.DNS_ACCOUNT_01, "_ujmmovf2vn55tgye._acme-challenge.www.example.org"),
        (ChallengeType.DNS_PERSIST_01, "_validation-persist.www.example.org"),
    ],
)
def test_r10_exactly_one_name_is_asked_for(challenge, name):
    assert txt_name(challenge, "www.example.org", ACCOUNT) == name


@pytest.mark.parametrize("challenge", [ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01])
def test_what_is_not_proven_in_dns_has_no_name_there(challenge):
    with pytest.raises(ValueError, match="not proven"):
        txt_name(challenge, "www.example.org", ACCOUNT)


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("dns:www.example.org", "www.example.org"),
        # RFC 8738 §6 has both of these.
        ("ip:192.0.2.1", "1.2.0.192.in-addr.arpa"),
        ("ip:2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"),
    ],
)
def test_the_server_name_of_an_address_is_its_reverse_name(identifier, name):
    assert server_name(parse_identifier(identifier)) == name
