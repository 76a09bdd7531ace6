"""Authorities and certificates put straight into a database, with the events that must be there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import insert, select

from ca_server.core.clock import Clock, to_epoch
from ca_server.core.signatures import (
    KeyType,
    PublicKey,
    SignatureAlgorithm,
    default_algorithm,
    key_type_of,
    spki_sha256,
)
from ca_server.hsm.keys import private_key
from ca_server.hsm.port import Signer
from ca_server.hsm.software import SoftwareKeyStore
from ca_server.services.context import Context, new_id, process_actor
from ca_server.store import tables
from ca_server.store.authorities import StoredAuthority, insert_authority
from ca_server.store.engine import Database

ISSUING = "issuing-1"
ROOT = "root-1"
ACTOR = process_actor("test")


@dataclass(frozen=True)
class Leaf:
    """A stored certificate."""

    id: str
    serial_number: str
    certificate: x509.Certificate


class KeySigner:
    """A key that any thread may use (`hsm.port.Signer`), as if each worker had a token of its own."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key()

    @property
    def key_type(self) -> KeyType:
        return KeyType.EC_P256

    def sign(self, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
        return self._key.sign(data, ec.ECDSA(algorithm.hash))


class Hierarchy:
    """A root and an issuing authority below it, stored; keys are in `store`, used by this thread alone."""

    def __init__(self, database: Database, clock: Clock, *, key_type: KeyType = KeyType.EC_P256) -> None:
        self.context = Context(clock, database, "test")
        self.store = SoftwareKeyStore("tests", unprotected_keys=True)
        for number, label in enumerate((ROOT, ISSUING, "ocsp"), 1):
            self.store.generate(key_type, label=label, key_id=bytes([number]))
        self.root = self._make_authority(ROOT, ROOT)
        self.issuer = self._make_authority(ISSUING, ROOT)
        self.store_authority(ROOT, self.root)
        self.store_authority(ISSUING, self.issuer)

    @property
    def signers(self) -> dict[str, Signer]:
        return {ISSUING: self.store.signer(label=ISSUING)}

    def key(self, label: str) -> ec.EllipticCurvePrivateKey:
        """The private half, to be made a `KeySigner` of."""
        return self.store.find(label, None).private

    @cached_property
    def delegated(self) -> x509.Certificate:
        """The issuing authority's OCSP signer."""
        return make_delegated(self.issuer, self.store.signer(label=ISSUING), self.store.signer(label="ocsp"))

    def issue(
        self,
        name: str = "www.example.test",
        *,
        owner: str = "token:owner",
        key: ec.EllipticCurvePrivateKey | None = None,
        lifetime: timedelta = timedelta(days=30),
    ) -> Leaf:
        """A certificate of the issuing authority with its request, intent and events."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = self.context.clock.now()
        certificate = make_leaf(self.issuer, self.store.signer(label=ISSUING), key, name, (now, lifetime))
        self._store_leaf(certificate, owner)
        der = certificate.public_bytes(Encoding.DER)
        return Leaf(hashlib.sha256(der).hexdigest(), f"{certificate.serial_number:040x}", certificate)

    def events(self, kind: str) -> list[dict]:
        """The leaves of one kind, in order."""
        with self.context.database.read() as connection:
            query = select(tables.audit_event.c.body).where(tables.audit_event.c.kind == kind)
            rows = connection.execute(query.order_by(tables.audit_event.c.number))
            return [json.loads(row.body) for row in rows]

    def rows(self, table) -> list[dict]:
        """Every row of a table."""
        with self.context.database.read() as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def _make_authority(self, label: str, issuer_label: str) -> x509.Certificate:
        now = self.context.clock.now()
        signer = self.store.signer(label=issuer_label)
        public_key = self.store.signer(label=label).public_key
        builder = _builder(
            label, issuer_label, public_key, now - timedelta(days=1), now + timedelta(days=3650)
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        builder = _with_key_ids(builder, public_key, signer.public_key)
        return builder.sign(private_key(signer), default_algorithm(signer.key_type).hash)

    def store_authority(self, authority_id: str, certificate: x509.Certificate) -> None:
        """What importing a bundle would leave."""
        der = certificate.public_bytes(Encoding.DER)
        key = spki_sha256(certificate.public_key())
        data = {
            "authority": authority_id,
            "cert_sha256": hashlib.sha256(der).hexdigest(),
            "spki_sha256": key,
        }
        event = self.context.event("authority.imported", ACTOR, data)
        is_root = authority_id == ROOT
        stored = StoredAuthority(
            id=authority_id,
            issuer_id=None if is_root else ROOT,
            role="root" if is_root else "issuing",
            state="offline" if is_root else "active",
            certificate_der=der,
            serial_number=f"{certificate.serial_number:040x}",
            spki_sha256=key,
            key_uri=None if is_root else f"pkcs11:token=tests;object={authority_id};type=private",
            signature_algorithm=default_algorithm(key_type_of(certificate.public_key())),
            last_crl_number=0,
            created_at=to_epoch(self.context.clock.now()),
            event_id=event.event_id,
        )
        with self.context.database.write() as unit:
            insert_authority(unit, stored)
            unit.commit(event)

    def _store_leaf(self, certificate: x509.Certificate, owner: str) -> None:
        now = self.context.clock.now()
        der = certificate.public_bytes(Encoding.DER)
        serial = f"{certificate.serial_number:040x}"
        request_id = new_id(now)
        tbs_sha256 = hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest()
        about = {"authority": ISSUING, "serial": serial, "tbs_sha256": tbs_sha256}
        asked = {"profile": "tls-server", "policy_sha256": "0" * 64, "request": request_id}
        intent = self.context.event("issue.intent", ACTOR, {**about, **asked})
        done_data = {**about, "cert_sha256": hashlib.sha256(der).hexdigest()}
        done = self.context.event("issue.done", ACTOR, done_data, ref=intent.event_id)
        common = {"profile": "tls-server", "principal_id": owner, "protocol": "rest"}
        with self.context.database.write() as unit:
            unit.connection.execute(
                insert(tables.certificate_request).values(
                    id=request_id,
                    created_at=to_epoch(now),
                    csr_der=b"",
                    requested="{}",
                    status="issued",
                    rule_ids="[]",
                    detail="",
                    **common,
                )
            )
            unit.connection.execute(
                insert(tables.issuance_intent).values(
                    authority_id=ISSUING,
                    serial_number=serial,
                    event_id=intent.event_id,
                    request_id=request_id,
                    created_at=to_epoch(now),
                    state="done",
                    profile="tls-server",
                    signature_algorithm="ecdsa-sha256",
                    tbs_sha256=tbs_sha256,
                )
            )
            unit.connection.execute(
                insert(tables.certificate).values(
                    id=hashlib.sha256(der).hexdigest(),
                    authority_id=ISSUING,
                    serial_number=serial,
                    issued_event_id=done.event_id,
                    subject=certificate.subject.rfc4514_string(),
                    names=json.dumps([f"dns:{name}" for name in _dns_names(certificate)]),
                    spki_sha256=spki_sha256(certificate.public_key()),
                    not_before=to_epoch(certificate.not_valid_before_utc),
                    not_after=to_epoch(certificate.not_valid_after_utc),
                    der=der,
                    **common,
                )
            )
            unit.commit(intent, done)


def _dns_names(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return sorted(extension.value.get_values_for_type(x509.DNSName))


def make_leaf(
    issuer: x509.Certificate,
    signer: Signer,
    key: ec.EllipticCurvePrivateKey,
    name: str,
    period: tuple[datetime, timedelta],
) -> x509.Certificate:
    """A server certificate; `period` is now and how long it lasts."""
    now, lifetime = period
    builder = _builder(name, _name(issuer), key.public_key(), now - timedelta(minutes=5), now + lifetime)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = _with_key_ids(builder, key.public_key(), issuer.public_key())
    return builder.sign(private_key(signer), default_algorithm(signer.key_type).hash)


def make_delegated(
    issuer: x509.Certificate,
    signer: Signer,
    delegate: Signer,
    *,
    purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.OCSP_SIGNING,),
    no_check: bool = True,
    lifetime: timedelta = timedelta(days=3000),
) -> x509.Certificate:
    """A delegated OCSP signer (RFC 6960 §4.2.2.2), or what falls short of one."""
    start = issuer.not_valid_before_utc
    builder = _builder("OCSP signer", _name(issuer), delegate.public_key, start, start + lifetime)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if no_check:
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    builder = _with_key_ids(builder, delegate.public_key, issuer.public_key())
    return builder.sign(private_key(signer), default_algorithm(signer.key_type).hash)


def _builder(name, issuer_name, public_key, start, end) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _with_key_ids(builder, public_key, issuer_public_key):
    own = x509.SubjectKeyIdentifier.from_public_key(public_key)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public_key)
    return builder.add_extension(own, critical=False).add_extension(above, critical=False)


def _usage(**set_bits: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: set_bits.get(name, False) for name in names.split()})
