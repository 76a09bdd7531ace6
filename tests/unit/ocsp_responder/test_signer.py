"""Delegation is checked before anything is answered; tokens are opened late and never pestered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import KeyType, SignatureAlgorithm, verify_signature
from ca_server.hsm.port import HsmRefused, HsmUnavailable
from ca_server.hsm.software import SoftwareKeyStore
from ca_server.hsm.uri import KeyUri
from ocsp_responder.config import ResponderConfig
from ocsp_responder.signer import DelegatedKey, Tokens, check_delegation, load_issuers
from tests.fakes.paper_authority import issuer_key, make_issuer
from tests.fakes.stored import KeySigner, make_delegated

KEY = KeyUri("ocsp", "ocsp-1")


@pytest.fixture
def store():
    opened = SoftwareKeyStore("ocsp", unprotected_keys=True)
    opened.generate(KeyType.EC_P256, label="ocsp-1", key_id=b"1")
    opened.generate(KeyType.EC_P256, label="other", key_id=b"2")
    return opened


def delegate(store, **changes):
    authority = make_issuer().certificate
    return make_delegated(authority, KeySigner(issuer_key()), store.signer(label="ocsp-1"), **changes)


class Opening:
    """Opens one token, after as many failures as it is given."""

    def __init__(self, store, *failures: Exception) -> None:
        self.store = store
        self.failures = list(failures)
        self.tries = 0

    def __call__(self, label: str):
        assert label == "ocsp"
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.store


def test_a_delegated_certificate_passes(store):
    check_delegation(delegate(store), make_issuer().certificate)


@pytest.mark.parametrize(
    "changes",
    [
        {"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)},
        {"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"no_check": False},
    ],
    ids=["other purpose", "any purpose", "no nocheck"],
)
def test_r34_what_was_not_delegated_is_refused(store, changes):
    with pytest.raises(CaError) as caught:
        check_delegation(delegate(store, **changes), make_issuer().certificate)
    assert caught.value.rule_ids == ("OCSP-DELEGATION",)


def test_r34_another_authoritys_delegate_is_refused(store):
    forged = make_delegated(
        make_issuer().certificate,
        KeySigner(ec.generate_private_key(ec.SECP256R1())),
        store.signer(label="ocsp-1"),
    )
    for certificate in (forged, make_issuer().certificate):
        with pytest.raises(CaError) as caught:
            check_delegation(certificate, make_issuer().certificate)
        assert caught.value.rule_ids == ("OCSP-DELEGATION",)


def test_the_token_is_opened_by_the_first_signature(store):
    opening = Opening(store)
    key = DelegatedKey("issuing-1", KEY, delegate(store), Tokens(opening))
    assert opening.tries == 0
    for _ in range(3):
        signature = key.sign(b"data", SignatureAlgorithm.ECDSA_SHA256)
        public_key = store.signer(label="ocsp-1").public_key
        verify_signature(public_key, signature, b"data", SignatureAlgorithm.ECDSA_SHA256)
    key.check()
    assert opening.tries == 1


def test_a_token_that_is_away_is_tried_again(store):
    opening = Opening(store, HsmUnavailable("away"), HsmUnavailable("away"))
    key = DelegatedKey("issuing-1", KEY, delegate(store), Tokens(opening))
    for _ in range(2):
        with pytest.raises(HsmUnavailable):
            key.check()
    key.check()
    assert opening.tries == 3


def test_a_token_that_refused_is_not_asked_again(store):
    """Three wrong PINs lock a token."""
    opening = Opening(store, HsmRefused("wrong PIN"))
    key = DelegatedKey("issuing-1", KEY, delegate(store), Tokens(opening))
    for _ in range(5):
        with pytest.raises(HsmRefused, match="wrong PIN"):
            key.check()
    assert opening.tries == 1


def test_another_key_than_the_certificates_never_signs(store):
    key = DelegatedKey("issuing-1", KeyUri("ocsp", "other"), delegate(store), Tokens(Opening(store)))
    with pytest.raises(HsmRefused, match="not the key"):
        key.sign(b"data", SignatureAlgorithm.ECDSA_SHA256)


def configuration(tmp_path, *, issuers: int = 1) -> ResponderConfig:
    issuer = {
        "authority": "issuing-1",
        "authority_certificate": str(tmp_path / "authority.cer"),
        "certificate": str(tmp_path / "ocsp.cer"),
        "key": str(KEY),
    }
    token = {"label": "ocsp", "module": "/usr/lib/vendor.so", "pin_credential": "ocsp"}
    return ResponderConfig.model_validate(
        {
            "listen": "127.0.0.1:8081",
            "state_directory": str(tmp_path),
            "database": {"url": f"sqlite:///{tmp_path}/none.sqlite"},
            "token": [token],
            "issuer": [issuer] * issuers,
        }
    )


def write(tmp_path, store, encoding=Encoding.DER, **changes) -> None:
    (tmp_path / "authority.cer").write_bytes(make_issuer().certificate.public_bytes(encoding))
    (tmp_path / "ocsp.cer").write_bytes(delegate(store, **changes).public_bytes(encoding))


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_issuers_are_loaded_without_a_token(tmp_path, store, encoding):
    write(tmp_path, store, encoding)
    opening = Opening(store)
    [issuer] = load_issuers(configuration(tmp_path), Tokens(opening))
    assert (issuer.authority_id, len(issuer.ids), opening.tries) == ("issuing-1", 2, 0)


def test_what_is_no_certificate_is_refused(tmp_path, store):
    write(tmp_path, store)
    (tmp_path / "ocsp.cer").write_bytes(b"no certificate")
    with pytest.raises(CaError) as caught:
        load_issuers(configuration(tmp_path), Tokens(Opening(store)))
    assert caught.value.rule_ids == ("OCSP-CERTIFICATE",)
    (tmp_path / "ocsp.cer").unlink()
    with pytest.raises(CaError) as caught:
        load_issuers(configuration(tmp_path), Tokens(Opening(store)))
    assert caught.value.kind is Kind.NOT_FOUND


def test_an_authority_is_answered_for_once(tmp_path, store):
    write(tmp_path, store)
    with pytest.raises(CaError) as caught:
        load_issuers(configuration(tmp_path, issuers=2), Tokens(Opening(store)))
    assert caught.value.rule_ids == ("OCSP-TWICE",)


def test_an_ended_delegation_loads_and_is_told_when_asked(tmp_path, store):
    """The file is right, the time is not: `Responder` says try later, and readiness says why."""
    write(tmp_path, store, lifetime=timedelta(seconds=1))
    assert load_issuers(configuration(tmp_path), Tokens(Opening(store)))


def test_closing_logs_out(store):
    tokens = Tokens(Opening(store))
    tokens.signer(KEY)
    tokens.close()
    with pytest.raises(RuntimeError, match="was closed"):
        store.token()
