"""The profiles of a script: what each certificate and CRL that it makes shall say."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from cryptography import x509
from cryptography.x509.oid import NameOID
from pydantic import BeforeValidator, Field, model_validator

from ca_server.core.document import Strict, broken
from ca_server.core.signatures import KeyType
from ceremony.fields import (
    Country,
    DNSName,
    IPAddress,
    KeyTypeName,
    Lifetime,
    Network,
    Origin,
    PlainText,
    Slug,
    Time,
)

MAX_NAMES = 32
REHEARSAL_MARK = "REHEARSAL "

# Why a CA may be revoked (RFC 5280 §5.3.1): a hold would have an end, and a CA's revocation has none.
REASONS = (
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)


def _reason(value: object) -> str:
    if value not in REASONS:
        raise broken("CEREMONY-REASON", f"a CA is revoked for one of {', '.join(REASONS)}")
    return str(value)


Reason = Annotated[str, BeforeValidator(_reason)]
DNSNames = Annotated[tuple[DNSName, ...], Field(strict=False, max_length=MAX_NAMES)]
IPAddresses = Annotated[tuple[IPAddress, ...], Field(strict=False, max_length=MAX_NAMES)]
Networks = Annotated[tuple[Network, ...], Field(strict=False, max_length=MAX_NAMES)]
# X.520 allows 64 characters (RFC 5280 appendix A.1), and a rehearsal puts its mark before them.
CommonName = Annotated[PlainText, Field(max_length=64 - len(REHEARSAL_MARK))]


class Subject(Strict):
    """A distinguished name, from the country down to the common name."""

    common_name: CommonName
    organizational_unit: PlainText | None = None
    organization: PlainText | None = None
    locality: PlainText | None = None
    state_or_province: PlainText | None = None
    country: Country | None = None

    def name(self, mode: str) -> x509.Name:
        """The X.501 name; a rehearsal's says so itself, and what is not given is left out."""
        mark = REHEARSAL_MARK if mode == "rehearsal" else ""
        attributes = (
            (NameOID.COUNTRY_NAME, self.country),
            (NameOID.STATE_OR_PROVINCE_NAME, self.state_or_province),
            (NameOID.LOCALITY_NAME, self.locality),
            (NameOID.ORGANIZATION_NAME, self.organization),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, self.organizational_unit),
            (NameOID.COMMON_NAME, mark + self.common_name),
        )
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes if value])


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


class Profile(Strict):
    """A certificate; its table's name is the id of the authority, or of the certificate.

    The key to be certified comes from `key` (a key of the script), from `request` (a CSR), or from `like` (a
    certificate, whose subject, key and constraints are taken over whole). A cross-certificate has `like` and
    `request` both: the CSR proves that the holder of the key asks for it.
    `issuer` names the issuer's profile, or its certificate among the inputs; `issuer_key` its key.
    """

    type: Literal["root", "authority", "responder", "cross", "link"]
    subject: Subject | None = None
    key: Slug | None = None
    request: Slug | None = None
    like: Slug | None = None
    issuer: Slug | None = None
    issuer_key: Slug
    lifetime: Lifetime | None = None
    not_before: Time | None = None
    not_after: Time | None = None
    path_length: Annotated[int, Field(ge=0, le=8)] | None = None
    name_constraints: NameConstraints | None = None
    other_organization: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_validity(self) -> Self:
        given = {name for name in ("lifetime", "not_before", "not_after") if getattr(self, name) is not None}
        if self.type == "link":
            if given:
                raise broken("CEREMONY-VALIDITY", "a link certificate's validity follows from the two roots'")
        elif given not in ({"lifetime"}, {"not_before", "not_after"}):
            raise broken("CEREMONY-VALIDITY", "give either lifetime, or not_before and not_after")
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        given = frozenset(name for name in ("key", "request", "like") if getattr(self, name) is not None)
        if given not in _KEY_FROM[self.type]:
            ways = " or ".join(" and ".join(sorted(way)) for way in _KEY_FROM[self.type])
            raise broken("CEREMONY-PROFILE", f"the key of type {self.type} comes from {ways}")
        if (self.issuer is None) != (self.type == "root"):
            raise broken("CEREMONY-PROFILE", "a root has no issuer, and every other certificate has one")
        if self.type == "root" and self.issuer_key != self.key:
            raise broken("CEREMONY-PROFILE", "a root signs itself: its issuer_key is its key")
        return self

    @model_validator(mode="after")
    def _own_words(self) -> Self:
        """What is taken over from a certificate cannot be said anew."""
        if (self.subject is None) != (self.like is not None):
            raise broken("CEREMONY-PROFILE", "a subject is given unless it is taken over from a certificate")
        limits = self.path_length is not None or self.name_constraints is not None
        if limits and self.type not in {"root", "authority"}:
            raise broken("CEREMONY-PROFILE", "path_length and name_constraints are for root and authority")
        if self.other_organization and self.type != "cross":
            raise broken("CEREMONY-PROFILE", "other_organization is for cross-certificates")
        return self


_KEY_FROM = {
    "root": (frozenset({"key"}),),
    "authority": (frozenset({"key"}), frozenset({"request"})),
    "responder": (frozenset({"key"}), frozenset({"request"})),
    "cross": (frozenset({"like", "request"}),),
    "link": (frozenset({"like"}),),
}


class Request(Strict):
    """A CSR that a key of the script signs; `like` takes the subject over from a certificate of that key."""

    key: Slug
    subject: Subject | None = None
    like: Slug | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.subject is None) == (self.like is None):
            raise broken("CEREMONY-PROFILE", "give one of subject and like")
        return self


class Revocation(Strict):
    """A certificate among the inputs that a CRL lists from now on; without `date` from the ceremony's day."""

    certificate: Slug
    reason: Reason
    date: Time | None = None


class CRLProfile(Strict):
    """A CRL of an authority that certifies authorities only.

    `previous` is the last one among the inputs; only an authority's very first CRL says `first` instead.
    `number` is what the officers expect, for a script that wants to say so.
    """

    issuer: Slug
    issuer_key: Slug
    lifetime: Lifetime
    previous: Slug | None = None
    first: Literal[True] | None = None
    number: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    emergency: bool = False
    revoke: Annotated[tuple[Revocation, ...], Field(strict=False, max_length=64)] = ()

    @model_validator(mode="after")
    def _has_predecessor(self) -> Self:
        if (self.previous is None) == (self.first is None):
            raise broken("CEREMONY-CRL-PREVIOUS", "name the previous CRL, or say first = true")
        return self


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
