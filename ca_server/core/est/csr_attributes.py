"""What a profile wants in a CSR, as an EST client asks before it makes one (RFC 7030 §4.5, RFC 9908).

It is said twice: as the list of RFC 7030 for old clients, and as the template of RFC 9908 §3.4, which new
clients follow alone. What a client may do or leave is not in it.
"""

from __future__ import annotations

from asn1crypto import parser
from asn1crypto.core import Boolean, Integer, Null, ObjectIdentifier, OctetBitString, OctetString
from asn1crypto.keys import RSAPublicKey
from cryptography import x509
from cryptography.x509.oid import AttributeOID, ExtensionOID

from ca_server.core.extensions import Extension, usages_of
from ca_server.core.identifiers import IdentifierType
from ca_server.core.profile import FixedAttribute, Profile
from ca_server.core.profile_words import ATTRIBUTES
from ca_server.core.signatures import KeyType

_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"  # RFC 2985 §5.4.2
_REQUEST_TEMPLATE = "1.2.840.113549.1.9.16.2.61"  # RFC 9908 §3.4
_EXTENSION_TEMPLATE = "1.2.840.113549.1.9.16.2.62"

_RSA = "1.2.840.113549.1.1.1"  # RFC 8017 appendix C
_EC = "1.2.840.10045.2.1"  # RFC 5480 §2.1.1
_CURVES = {
    KeyType.EC_P256: "1.2.840.10045.3.1.7",
    KeyType.EC_P384: "1.3.132.0.34",
    KeyType.EC_P521: "1.3.132.0.35",
}
# Algorithms that have no parameters (RFC 8410 §3, RFC 9881 §2).
_PLAIN = {
    KeyType.ED25519: "1.3.101.112",
    KeyType.ML_DSA_44: "2.16.840.1.101.3.4.3.17",
    KeyType.ML_DSA_65: "2.16.840.1.101.3.4.3.18",
    KeyType.ML_DSA_87: "2.16.840.1.101.3.4.3.19",
}

_UNIVERSAL, _CONTEXT = 0, 2
_CONSTRUCTED = 1


def csr_attributes(profile: Profile) -> bytes:
    """The DER of the CsrAttrs that go with a profile.

    A type of key is asked for where there is one alone: whoever holds another accepted one keeps it.
    Where the CSR is bound to its connection, there is no template. An attribute stands there with a value,
    and that of challengePassword is the client's to know.
    """
    key_type = profile.keys.allowed[0] if len(profile.keys.allowed) == 1 else None
    extensions = usages_of(profile.extensions)
    listed = []
    if profile.est.channel_binding:
        listed.append(_oid(AttributeOID.CHALLENGE_PASSWORD.dotted_string))
    if key_type is not None:
        listed.append(_listed_key(key_type))
    listed.append(_attribute(_EXTENSION_REQUEST, _sequence(*map(_extension, extensions))))
    if not profile.est.channel_binding:
        listed.append(_attribute(_REQUEST_TEMPLATE, _template(profile, key_type, extensions)))
    return _sequence(*listed)


def _template(profile: Profile, key_type: KeyType | None, extensions: list[Extension]) -> bytes:
    """A CertificationRequestInfoTemplate: subject and key are there where something is wanted of them."""
    parts = [Integer(0).dump()]
    if subject := _subject(profile):
        parts.append(_sequence(*subject))
    if key_type is not None:
        parts.append(parser.emit(_CONTEXT, _CONSTRUCTED, 0, _template_key(key_type)))
    wanted = [_extension(each) for each in extensions]
    if _needs_names(profile):
        names = _sequence(_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string))
        attribute = _attribute(_EXTENSION_TEMPLATE, _sequence(names, *wanted))
    else:
        attribute = _attribute(_EXTENSION_REQUEST, _sequence(*wanted))
    parts.append(parser.emit(_CONTEXT, _CONSTRUCTED, 1, attribute))
    return _sequence(*parts)


def _subject(profile: Profile) -> list[bytes]:
    """RDNs: those with a value are to be used as they are, those without are the client's to fill in."""
    found = []
    for word, rule in profile.subject.items():
        if isinstance(rule, FixedAttribute):
            for value in rule.values:
                name = x509.Name([x509.NameAttribute(ATTRIBUTES[word], value)]).public_bytes()
                found.append(parser.parse(name, strict=True)[4])
        elif rule.required:
            found.append(_set(_sequence(_oid(ATTRIBUTES[word].dotted_string))))
    return found


def _needs_names(profile: Profile) -> bool:
    """Whether a certificate of this profile has a subjectAltName always."""
    types = (rules for kind in IdentifierType if (rules := profile.names.of_type(kind)) is not None)
    return profile.names.min > 0 or any(rules.min > 0 for rules in types)


def _listed_key(key_type: KeyType) -> bytes:
    """The algorithm with its curve or modulus length (RFC 9908 §3.2), or its OID alone."""
    if key_type in _CURVES:
        return _attribute(_EC, _oid(_CURVES[key_type]))
    if key_type in _PLAIN:
        return _oid(_PLAIN[key_type])
    return _attribute(_RSA, Integer(_modulus_length(key_type)).dump())


def _template_key(key_type: KeyType) -> bytes:
    """A SubjectPublicKeyInfoTemplate's content; a length is told by a number that has it, and is no key."""
    if key_type in _CURVES:
        return _sequence(_oid(_EC), _oid(_CURVES[key_type]))
    if key_type in _PLAIN:
        return _sequence(_oid(_PLAIN[key_type]))
    placeholder = (1 << _modulus_length(key_type)) - 1
    key: bytes = RSAPublicKey({"modulus": placeholder, "public_exponent": 65537}).dump()
    public_key: bytes = OctetBitString(key).dump()
    return _sequence(_oid(_RSA), Null().dump()) + public_key


def _modulus_length(key_type: KeyType) -> int:
    return int(key_type.rpartition("-")[2])


def _extension(extension: Extension) -> bytes:
    parts = [_oid(extension.oid.dotted_string)]
    if extension.critical:
        parts.append(Boolean(True).dump())
    return _sequence(*parts, OctetString(extension.value.public_bytes()).dump())


def _attribute(dotted: str, value: bytes) -> bytes:
    return _sequence(_oid(dotted), _set(value))


def _oid(dotted: str) -> bytes:
    encoded: bytes = ObjectIdentifier(dotted).dump()
    return encoded


def _sequence(*parts: bytes) -> bytes:
    encoded: bytes = parser.emit(_UNIVERSAL, _CONSTRUCTED, 16, b"".join(parts))
    return encoded


def _set(value: bytes) -> bytes:
    encoded: bytes = parser.emit(_UNIVERSAL, _CONSTRUCTED, 17, value)
    return encoded
