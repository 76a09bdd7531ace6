"""The ceremony script: one strict TOML file that says everything a ceremony makes, and nothing of where.

No path, slot or PIN stands in a script: tokens are aliases, which a host file binds (`ceremony.host`), and
neither is the mode, so that a rehearsal and the real ceremony run the same bytes with the same digest.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from cryptography import x509
from cryptography.x509.oid import NameOID
from pydantic import Field, model_validator

from ca_server.core.document import Strict, broken, parse_document
from ca_server.core.signatures import KeyType
from ceremony.fields import (
    Country,
    DNSName,
    IPAddress,
    KeyTypeName,
    Label,
    Lifetime,
    Network,
    Origin,
    PlainText,
    PublicURL,
    Slug,
    Time,
)

MAX_ENTRIES = 32


def parse_script(data: bytes) -> Script:
    """The script that these bytes hold; references between its parts are checked by `ceremony.plan`.

    Raises:
        CaError: malformed, one `CEREMONY-…` rule for each bad field.
    """
    return parse_document(data, Script, "script", rule="CEREMONY")


DNSNames = Annotated[tuple[DNSName, ...], Field(strict=False, max_length=MAX_ENTRIES)]
IPAddresses = Annotated[tuple[IPAddress, ...], Field(strict=False, max_length=MAX_ENTRIES)]
Networks = Annotated[tuple[Network, ...], Field(strict=False, max_length=MAX_ENTRIES)]


class Publication(Strict):
    """Where relying parties fetch CRLs and CA certificates; CDP and AIA URLs are made from it."""

    public_url: PublicURL

    def crl_url(self, authority: str) -> str:
        """The CRL of an authority (RFC 5280 §4.2.1.13)."""
        return f"{self.public_url}/crl/{authority}.crl"

    def certificate_url(self, authority: str) -> str:
        """The certificate of an authority (RFC 5280 §4.2.2.1)."""
        return f"{self.public_url}/aia/{authority}.cer"


class Key(Strict):
    """A key pair to be made in a token."""

    token: Slug
    type: KeyTypeName
    label: Label


class Subject(Strict):
    """A distinguished name, from the country down to the common name."""

    common_name: PlainText
    organizational_unit: PlainText | None = None
    organization: PlainText | None = None
    locality: PlainText | None = None
    state_or_province: PlainText | None = None
    country: Country | None = None

    def name(self) -> x509.Name:
        """The X.501 name; what is not given is left out."""
        attributes = (
            (NameOID.COUNTRY_NAME, self.country),
            (NameOID.STATE_OR_PROVINCE_NAME, self.state_or_province),
            (NameOID.LOCALITY_NAME, self.locality),
            (NameOID.ORGANIZATION_NAME, self.organization),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, self.organizational_unit),
            (NameOID.COMMON_NAME, self.common_name),
        )
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes if value])


class Certified(Strict):
    """What every certificate says: a subject, its key, and a validity given in one of two ways."""

    key: Slug
    subject: Subject
    lifetime: Lifetime | None = None
    not_before: Time | None = None
    not_after: Time | None = None

    @model_validator(mode="after")
    def _one_validity(self) -> Self:
        given = {name for name in ("lifetime", "not_before", "not_after") if getattr(self, name) is not None}
        if given not in ({"lifetime"}, {"not_before", "not_after"}):
            raise broken("CEREMONY-VALIDITY", "give either lifetime, or not_before and not_after")
        return self


class NameConstraints(Strict):
    """What a subordinate CA may name (RFC 5280 §4.2.1.10); a subtree holds its root and all below it."""

    permitted_dns: DNSNames = ()
    excluded_dns: DNSNames = ()
    permitted_ip: Networks = ()
    excluded_ip: Networks = ()

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not (self.permitted_dns or self.excluded_dns or self.permitted_ip or self.excluded_ip):
            raise broken("CEREMONY-NAME-CONSTRAINTS", "constrain something, or leave the table out")
        return self


class FirstCRL(Strict):
    """The root's first CRL: number 1, empty."""

    lifetime: Lifetime


class Authority(Certified):
    """A certificate authority."""

    id: Slug


class Root(Authority):
    """The self-signed authority, offline after the ceremony."""

    path_length: Annotated[int, Field(ge=0, le=8)] | None = None
    crl: FirstCRL


class IssuingAuthority(Authority):
    """An authority certified by the root, whose key the server uses."""

    path_length: Annotated[int, Field(ge=0, le=8)] = 0
    name_constraints: NameConstraints | None = None


class Responder(Certified):
    """A delegated OCSP signer (RFC 6960 §4.2.2.2) of one issuing authority."""

    authority: Slug


class Log(Strict):
    """The key that signs the audit log's checkpoints, and the log's name (C2SP signed note)."""

    key: Slug
    origin: Origin


class APIServer(Strict):
    """The server's own TLS key, made in software on the host; only its CSR goes into the bundle."""

    key_type: KeyTypeName = KeyType.EC_P256
    dns_names: Annotated[DNSNames, Field(min_length=1)]
    ip_addresses: IPAddresses = ()

    @model_validator(mode="after")
    def _usable_for_tls(self) -> Self:
        if self.key_type not in {KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048, KeyType.RSA_3072}:
            raise broken("CEREMONY-KEY-TYPE", "a TLS key is ec-p256, ec-p384, rsa-2048 or rsa-3072")
        return self


class Script(Strict):
    """A whole script."""

    format: Literal["ceremony/v1"]
    id: Annotated[Slug, Field(min_length=8)]
    title: PlainText
    kind: Literal["first-hierarchy"]
    tokens: Annotated[tuple[Slug, ...], Field(strict=False, min_length=1, max_length=MAX_ENTRIES)]
    publication: Publication
    keys: Annotated[dict[Slug, Key], Field(min_length=1, max_length=MAX_ENTRIES)]
    root: Root
    issuing: Annotated[
        tuple[IssuingAuthority, ...], Field(strict=False, min_length=1, max_length=MAX_ENTRIES)
    ]
    responders: Annotated[tuple[Responder, ...], Field(strict=False, min_length=1, max_length=MAX_ENTRIES)]
    log: Log
    api_server: APIServer
