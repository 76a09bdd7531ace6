"""R3, R31: whatever an account signs, it is answered, and never by a failure of ours."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.acme_client import csr_der
from tests.fixtures.acme_keys import b64

TEXT = (
    st.text(max_size=30)
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(
        ["dns", "ip", "a.example.com", "*.example.com", "10.0.0.1", "2027-03-02T00:00:00Z", "valid"]
    )
    | st.just(b64(csr_der("a.example.com")))
)
NAMES = st.sampled_from(
    [
        "account",
        "ancestorDomain",
        "certificate",
        "contact",
        "csr",
        "externalAccountBinding",
        "identifier",
        "identifiers",
        "jwk",
        "newKey",
        "notAfter",
        "notBefore",
        "oldKey",
        "onlyReturnExisting",
        "payload",
        "profile",
        "protected",
        "reason",
        "replaces",
        "signature",
        "status",
        "subdomainAuthAllowed",
        "termsOfServiceAgreed",
        "type",
        "value",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
PAYLOADS = st.dictionaries(NAMES, VALUES, max_size=6) | VALUES
IDENTIFIERS = st.fixed_dictionaries(
    {"identifiers": st.lists(st.fixed_dictionaries({"type": TEXT, "value": TEXT}), max_size=4)},
    optional={"profile": TEXT, "notAfter": TEXT, "replaces": TEXT},
)


def test_any_payload_is_answered(acme_door):
    client = acme_door.registered()
    order = acme_door.prove(client, client.order("a.example.com"))
    urls = [
        order.headers["Location"],
        order.json["finalize"],
        order.json["authorizations"][0],
        client.read(order.json["authorizations"][0]).json["challenges"][0]["url"],
        *(client.url(name) for name in ("new-order", "new-authz", "revoke-cert", "key-change")),
    ]

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(urls), PAYLOADS | IDENTIFIERS)
    def ask(url, payload):
        answer = client.post(url, payload)
        assert answer.status < 500, answer
        assert answer.status < 300 or answer.error
        assert answer.headers["Replay-Nonce"]

    ask()


def test_any_new_account_is_answered(acme_door):
    @settings(max_examples=60, deadline=None)
    @given(PAYLOADS)
    def ask(payload):
        client = acme_door.client()
        answer = client.post(client.url("new-account"), payload)
        assert answer.status < 500, answer
        assert answer.status < 300 or answer.error

    ask()
