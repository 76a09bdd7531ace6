"""Requests that each shipped profile grants, and a profile that a test bends to its needs."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.profile import Profile, parse_profile
from tests.fakes.paper_authority import dns, ip, subject

EMAIL = [x509.RFC822Name("bob@example.com")]
OTHER_NAME = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x03bob")
URN = [x509.UniformResourceIdentifier("urn:dev:ops:32473-gateway-0042")]
SPIFFE = [x509.UniformResourceIdentifier("spiffe://example.org/ns/web")]

ACCEPTABLE = [
    ("tls-server", dns("host.internal"), None),
    ("tls-server", dns("localhost") + ip("127.0.0.1", "::1"), subject(common_name="LOCALHOST")),
    ("tls-server", ip("10.0.0.1"), None),
    ("tls-server", dns("example.test", "*.example.test"), None),
    ("tls-server-short", dns("host.internal", "*.apps.internal"), None),
    ("tls-client", EMAIL, subject(common_name="bob@example.com")),
    ("tls-peer", dns("node1.example.test"), None),
    ("spiffe-workload", SPIFFE + dns("web.example.org"), None),
    ("code-signing", EMAIL, subject(common_name="bob@example.com", organization_name="Example GmbH")),
    ("device-identity", URN, subject(serial_number="32473-gateway-0042")),
    ("ocsp-signer", (), subject(common_name="Responder 1")),
]


def own_profile(subject_rules: str = "", **replace: tuple[str, str]) -> Profile:
    """A small profile, with some of its text replaced: `word=(old, new)`."""
    text = f"""\
name = "own"
description = "For one test."
[requesters]
roles = ["requester", "officer"]
protocols = ["rest"]
[keys]
allowed = ["ec-p256", "rsa-2048"]
[validity]
default = "10m"
max = "90d"
backdate = "5m"
{subject_rules}
[names]
wildcard = true
[names.dns]
allow = ["**.example.com"]
deny = ["secret.example.com"]
max = 3
[names.ip]
allow = ["10.0.0.0/8"]
[extensions]
key_usage = ["digital_signature"]
extended_key_usage = ["server_auth"]
"""
    for old, new in replace.values():
        assert old in text
        text = text.replace(old, new)
    return parse_profile(text.encode(), source="own.toml")
