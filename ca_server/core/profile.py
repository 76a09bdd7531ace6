"""A certificate profile: what may be asked for, what is granted, and by whom, as frozen data.

A profile is a TOML file that officers approve and auditors read. It can only allow: what it does not
mention is refused. Every key is checked, and the SHA-256 of the file goes into every issuance event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from ca_server.core.authorization import Role
from ca_server.core.document import Duration, Strict, broken, parse_document
from ca_server.core.errors import CaError
from ca_server.core.identifiers import IdentifierType
from ca_server.core.name_patterns import parse_pattern
from ca_server.core.profile_words import (
    AttributeWord,
    KeyUsageWord,
    PurposeWord,
    SubtreeText,
    one_of,
    tuple_of_list,
)
from ca_server.core.protocol_rules import AcmeRules, EstRules
from ca_server.core.site import KeyTypes

Words = Annotated[tuple[str, ...], Field(max_length=100), BeforeValidator(tuple_of_list)]
NameTypes = Annotated[
    tuple[Annotated[IdentifierType, BeforeValidator(one_of(IdentifierType))], ...],
    BeforeValidator(tuple_of_list),
]


class KeyRules(Strict):
    """Which key types may be certified; the site's floor holds as well."""

    allowed: KeyTypes


class ValidityRules(Strict):
    """How long a certificate lives, measured from now; `backdate` is set back from now for slow clocks."""

    default: Duration
    max: Duration
    backdate: Duration = timedelta(minutes=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.default > self.max:
            raise broken("PROFILE-VALIDITY", "default is longer than max")
        if self.backdate > timedelta(days=1):
            raise broken("PROFILE-VALIDITY", "backdate is a day at most")
        return self


class FixedAttribute(Strict):
    """A subject attribute that the profile sets; a CSR may repeat it or leave it out."""

    source: Literal["fixed"]
    values: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(min_length=1, max_length=10),
        BeforeValidator(tuple_of_list),
    ]


class RequestedAttribute(Strict):
    """A subject attribute taken from the CSR.

    With `names`, its value is one of the certificate's own names of these types (`part` whole), or the
    last segment of one, so that it says nothing which was not authorized. `allow` are texts in which `*`
    is any run of characters.
    """

    source: Literal["csr"]
    required: bool = False
    max_length: int = Field(default=64, ge=1, le=128)
    allow: Words = ("*",)
    names: NameTypes = ()
    part: Annotated[str, Field(pattern="^(whole|last-segment)$")] = "whole"


Attribute = Annotated[FixedAttribute | RequestedAttribute, Field(discriminator="source")]
SubjectRules = Mapping[AttributeWord, Attribute]


class NameTypeRules(Strict):
    """Names of one type: patterns without the type's word, deny wins, and how many there may be."""

    allow: Annotated[tuple[str, ...], Field(min_length=1, max_length=100), BeforeValidator(tuple_of_list)]
    deny: Words = ()
    min: int = Field(default=0, ge=0, le=1000)
    max: int = Field(default=100, ge=1, le=1000)


def _patterns_of(kind: IdentifierType) -> AfterValidator:
    def check(rules: NameTypeRules) -> NameTypeRules:
        for glob in (*rules.allow, *rules.deny):
            try:
                parse_pattern(f"{kind}:{glob}")
            except CaError as error:
                raise broken("NAME-PATTERN", error.detail) from error
        return rules

    return AfterValidator(check)


class NameRules(Strict):
    """The subjectAltName; a type that is not mentioned is refused."""

    min: int = Field(default=1, ge=0, le=1000)
    max: int = Field(default=100, ge=0, le=1000)
    wildcard: bool = False
    underscore: bool = False
    dns: Annotated[NameTypeRules, _patterns_of(IdentifierType.DNS)] | None = None
    ip: Annotated[NameTypeRules, _patterns_of(IdentifierType.IP)] | None = None
    email: Annotated[NameTypeRules, _patterns_of(IdentifierType.EMAIL)] | None = None
    uri: Annotated[NameTypeRules, _patterns_of(IdentifierType.URI)] | None = None
    directory: Annotated[NameTypeRules, _patterns_of(IdentifierType.DIRECTORY)] | None = None
    registered_id: Annotated[NameTypeRules, _patterns_of(IdentifierType.REGISTERED_ID)] | None = None
    other: Annotated[NameTypeRules, _patterns_of(IdentifierType.OTHER)] | None = None

    def of_type(self, kind: IdentifierType) -> NameTypeRules | None:
        """The rules for one type of name, or None where it is refused."""
        found: NameTypeRules | None = getattr(self, kind.replace("-", "_"))
        return found


class PolicyInformation(Strict):
    """One certificate policy (RFC 5280 §4.2.1.4)."""

    oid: str = Field(pattern=r"^[0-2](\.(0|[1-9][0-9]{0,38})){1,31}$")
    cps: str | None = Field(default=None, pattern=r"^https?://[!-~]{1,200}$")


class NameConstraintRules(Strict):
    """Subtrees for a subordinate authority (RFC 5280 §4.2.1.10), as `dns:example.com` or `ip:10.0.0.0/8`."""

    permitted: Annotated[tuple[SubtreeText, ...], BeforeValidator(tuple_of_list)] = ()
    excluded: Annotated[tuple[SubtreeText, ...], BeforeValidator(tuple_of_list)] = ()


class ExtensionRules(Strict):
    """The certificate's extensions; nothing in them comes from the CSR but its names."""

    key_usage: Annotated[tuple[KeyUsageWord, ...], Field(min_length=1), BeforeValidator(tuple_of_list)]
    extended_key_usage: Annotated[tuple[PurposeWord, ...], BeforeValidator(tuple_of_list)] = ()
    ca: bool = False
    path_length: int | None = Field(default=None, ge=0, le=10)
    certificate_policies: Annotated[tuple[PolicyInformation, ...], BeforeValidator(tuple_of_list)] = ()
    crl_distribution_point: bool = True
    ocsp: bool = True
    ca_issuers: bool = True
    must_staple: bool = False
    ocsp_nocheck: bool = False
    name_constraints: NameConstraintRules | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ca != ("key_cert_sign" in self.key_usage):
            raise broken("PROFILE-CA", "key_cert_sign goes with ca = true and with nothing else")
        if not self.ca and (self.path_length is not None or self.name_constraints is not None):
            raise broken("PROFILE-CA", "path_length and name_constraints go with ca = true alone")
        if self.must_staple and not self.ocsp:
            raise broken("PROFILE-STAPLE", "must_staple needs ocsp = true")
        return self


class RequesterRules(Strict):
    """Who may ask: roles and protocols, both needed, and how many approvals."""

    roles: Annotated[
        tuple[Annotated[Role, BeforeValidator(one_of(Role))], ...],
        Field(min_length=1),
        BeforeValidator(tuple_of_list),
    ]
    protocols: Annotated[
        tuple[Annotated[str, Field(pattern="^[a-z0-9-]{1,16}$")], ...],
        Field(min_length=1),
        BeforeValidator(tuple_of_list),
    ]
    approvals: int = Field(default=0, ge=0, le=16)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if Role.AUDITOR in self.roles:
            raise broken("PROFILE-AUDITOR", "an auditor only reads and cannot ask for certificates")
        return self


class Profile(Strict):
    """One profile; equal files give equal profiles."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")
    description: str = Field(min_length=1, max_length=500)
    requesters: RequesterRules
    keys: KeyRules
    validity: ValidityRules
    subject: SubjectRules = Field(default_factory=dict)
    names: NameRules
    extensions: ExtensionRules
    acme: AcmeRules = AcmeRules()
    est: EstRules = EstRules()
    _sha256: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _hands_out_at_once(self) -> Self:
        if self.est.server_keys and self.requesters.approvals:
            raise broken(
                "PROFILE-SERVER-KEYS",
                "a key that the server makes is never kept, so nobody can wait for approvals of it",
            )
        return self

    @property
    def sha256(self) -> str:
        """The hex digest of the file's bytes, as every issuance event records it."""
        return self._sha256

    def __hash__(self) -> int:
        return hash((self.name, self._sha256))


def parse_profile(data: bytes, *, source: str) -> Profile:
    """The profile that a TOML file states; `source` names the file in a refusal.

    Raises:
        CaError: malformed; every broken `PROFILE-...` or `NAME-PATTERN` rule with its place.
    """
    profile = parse_document(data, Profile, f"profile {source}", rule="PROFILE")
    profile._sha256 = hashlib.sha256(data).hexdigest()  # noqa: SLF001 - set here, once, by nobody else
    return profile
