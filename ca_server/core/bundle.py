"""What a ceremony hands over: one archive, a closing statement that lists its files, and what is installed.

Here structure, digests and the words of the manifest are read. Whether the ceremony was held as its script
says is judged in `core.ceremony.verify`, whether certificates, CRLs and keys fit in `core.hierarchy`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import quote

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from ca_server.core.archive import pack, unpack
from ca_server.core.ceremony.closing import Closing, is_listed, parse_closing
from ca_server.core.ceremony.script_facts import ScriptFacts, parse_script_facts
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import KeyType, SignatureAlgorithm

FORMAT = "ceremony-bundle/v2"
MANIFEST = "manifest.json"
SCRIPT = "script.toml"
KEYS = "keys.json"
ROSTER = "roster.json"
SIGNERS = "allowed-signers"
TRANSCRIPT = "transcript.jsonl"
CLOSING = "closing.txt"
API_SERVER_CSR = "csrs/api-server.csr"
REHEARSAL_PREFIX = "REHEARSAL-"

_ALWAYS = frozenset({MANIFEST, SCRIPT, KEYS, ROSTER, SIGNERS, TRANSCRIPT, CLOSING})
# What lies here is installed, so all of it is named by the manifest.
_INSTALLED = ("authorities/", "certificates/", "crls/", "responders/")

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
Text = Annotated[str, Field(max_length=256)]
KeyURI = Annotated[str, Field(pattern=r"^pkcs11:[!-~]+$", max_length=512)]
Model = TypeVar("Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class AuthorityEntry(_Part):
    """An authority; without `key_uri` its key stays offline, or was described by an earlier ceremony."""

    id: Id
    role: Literal["root", "issuing"]
    issuer: Id
    certificate: Text
    key_uri: KeyURI | None
    signature_algorithm: SignatureAlgorithm


class CertificateEntry(_Part):
    """Another certificate: `subject` and `issuer` are authorities of ours, where they are ours.

    A link certificate joins an old and a new root, a cross-certificate another hierarchy with ours.
    """

    name: Id
    role: Literal["cross", "link", "other"]
    path: Text
    subject: Id | None
    issuer: Id | None


class CRLEntry(_Part):
    """The newest CRL of an authority."""

    authority: Id
    path: Text


class ResponderEntry(_Part):
    """The delegated OCSP signer of one authority."""

    authority: Id
    certificate: Text
    key_uri: KeyURI | None


class LogEntry(_Part):
    """The audit log's name, its key, and the verifier key that outsiders need (C2SP signed note)."""

    origin: Text
    key_uri: KeyURI
    vkey: Text


class APIServerEntry(_Part):
    """The server's TLS key: its CSR, and the alias under which the host file says where the key lies."""

    csr: Literal["csrs/api-server.csr"]
    key: Literal["api-server"]


class Manifest(_Part):
    """What a server installs; the certificates' own words are not repeated."""

    format: Literal["ceremony-bundle/v2"]
    ceremony: Id
    kind: Id
    mode: Literal["rehearsal", "production"]
    script_sha256: Digest
    authorities: tuple[AuthorityEntry, ...]
    certificates: tuple[CertificateEntry, ...]
    crls: tuple[CRLEntry, ...]
    responders: tuple[ResponderEntry, ...]
    log: LogEntry | None
    api_server: APIServerEntry | None

    def key_uris(self) -> tuple[str, ...]:
        """Every key that it names."""
        named = [each.key_uri for each in self.authorities]
        named += [each.key_uri for each in self.responders]
        named += [self.log.key_uri] if self.log else []
        return tuple(each for each in named if each is not None)


class TokenEntry(_Part):
    """The token that made a key, as it described itself."""

    label: Text
    serial: Text
    manufacturer: Text
    model: Text
    firmware: Text


class KeyEntry(_Part):
    """A key as its token described it after it was made; the flags are those read back (PKCS#11 §4.9).

    A key to be backed up by wrapping is born extractable, and leaves wrapped by a trusted key only.
    """

    step: Text
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    token: TokenEntry
    label: Text
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    type: KeyType
    spki_sha256: Digest
    private: Literal[True]
    sensitive: Literal[True]
    always_sensitive: Literal[True]
    extractable: bool
    never_extractable: bool
    wrap_with_trusted: bool = False
    local: Literal[True]

    @model_validator(mode="after")
    def _leaves_wrapped_or_never(self) -> Self:
        if self.extractable is self.never_extractable or (self.extractable and not self.wrap_with_trusted):
            raise ValueError("a key never leaves its token, or only wrapped by a trusted key")
        return self

    @property
    def uri(self) -> str:
        """Where the key is, without module or PIN (RFC 7512 §2.3)."""
        token = quote(self.token.label, safe="")
        octets = re.sub("..", lambda pair: "%" + pair[0].upper(), self.id)
        return f"pkcs11:token={token};object={quote(self.label, safe='')};id={octets};type=private"


class KeyList(RootModel[tuple[KeyEntry, ...]]):
    """Every key that the ceremony made in a token."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are those that its closing statement lists, each with the digest it gives."""

    sha256: str
    manifest: Manifest
    script: ScriptFacts
    closing: Closing
    keys: tuple[KeyEntry, ...]
    files: Mapping[str, bytes]

    def uri_of(self, spki_sha256: str) -> str | None:
        """Where the key is, if this ceremony made it."""
        return next((key.uri for key in self.keys if key.spki_sha256 == spki_sha256), None)


def key_id(ceremony: str, step: str, attempt: int = 1) -> bytes:
    """The CKA_ID of the key that a step makes: the same on every run of the same ceremony."""
    text = f"{ceremony}\n{step}\n" + (f"{attempt}\n" if attempt > 1 else "")
    return hashlib.sha256(text.encode()).digest()[:16]


def certificate_path(authority: str) -> str:
    """Where an authority's certificate stands in a bundle."""
    return f"authorities/{authority}.cer"


def extra_certificate_path(name: str) -> str:
    """Where a cross, link or other certificate stands in a bundle."""
    return f"certificates/{name}.cer"


def crl_path(authority: str) -> str:
    """Where an authority's CRL stands in a bundle."""
    return f"crls/{authority}.crl"


def responder_path(authority: str) -> str:
    """Where the certificate of an authority's OCSP signer stands in a bundle."""
    return f"responders/{authority}.cer"


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as it stands in a bundle (RFC 8785)."""
    return rfc8785.dumps(manifest.model_dump(mode="json"))


def write_bundle(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """The archive of these files and their manifest, which the closing statement among them lists."""
    return pack({**files, MANIFEST: encode_manifest(manifest)})


def read_bundle(data: bytes) -> Bundle:
    """The bundle, once structure, digests, names, keys and mode agree.

    Raises:
        CaError: malformed, one `BUNDLE-…` rule, or `CEREMONY-CLOSING`.
    """
    files = unpack(data)
    manifest = _strict(files.get(MANIFEST, b""), Manifest, "BUNDLE-MANIFEST", MANIFEST)
    closing = parse_closing(files.get(CLOSING, b""))
    _check_files(manifest, closing, files)
    keys = _strict(files[KEYS], KeyList, "BUNDLE-KEYS", KEYS).root
    script = parse_script_facts(files[SCRIPT])
    _check_script(manifest, closing, script)
    _check_keys(manifest, script, keys)
    return Bundle(hashlib.sha256(data).hexdigest(), manifest, script, closing, keys, files)


def bad_bundle(rule_id: str, detail: str) -> CaError:
    """The one way in which a bundle is refused."""
    return refuse(Kind.MALFORMED, rule_id, f"the bundle is refused: {detail}")


def _strict(data: bytes, model: type[Model], rule_id: str, name: str) -> Model:
    """Canonical JSON only: every spelling but one would let bytes change unseen."""
    try:
        canonical = rfc8785.dumps(json.loads(data)) == data
        content = model.model_validate_json(data) if canonical else None
    except (ValueError, RecursionError, ValidationError) as error:
        raise bad_bundle(rule_id, f"{name} is not as a ceremony writes it") from error
    if content is None:
        raise bad_bundle(rule_id, f"{name} is not canonical JSON (RFC 8785)")
    return content


def _check_files(manifest: Manifest, closing: Closing, files: Mapping[str, bytes]) -> None:
    listed = {path for path in files if is_listed(path)}
    if differing := sorted(listed ^ closing.files.keys()):
        raise bad_bundle("BUNDLE-FILES", f"{differing[0]} is there or in its closing statement, not both")
    for path, digest in closing.files.items():
        if hashlib.sha256(files[path]).hexdigest() != digest:
            raise bad_bundle("BUNDLE-DIGEST", f"{path} has another SHA-256 than the closing statement says")
    if missing := sorted(_ALWAYS - files.keys()):
        raise bad_bundle("BUNDLE-FILES", f"{missing[0]} is missing")
    named = [(each.certificate, certificate_path(each.id)) for each in manifest.authorities]
    named += [(each.path, extra_certificate_path(each.name)) for each in manifest.certificates]
    named += [(each.path, crl_path(each.authority)) for each in manifest.crls]
    named += [(each.certificate, responder_path(each.authority)) for each in manifest.responders]
    if any(given != expected for given, expected in named):
        raise bad_bundle("BUNDLE-FILES", "a file is not named after what it is")
    installed = sorted(path for path in files if path.startswith(_INSTALLED))
    if sorted(path for path, _ in named) != installed:
        raise bad_bundle("BUNDLE-FILES", "it does not hold exactly what its manifest says is to be installed")
    if (API_SERVER_CSR in files) is (manifest.api_server is None):
        raise bad_bundle("BUNDLE-FILES", f"{API_SERVER_CSR} is there or in its manifest, not both")


def _check_script(manifest: Manifest, closing: Closing, script: ScriptFacts) -> None:
    named = {
        (manifest.ceremony, manifest.kind, manifest.script_sha256, manifest.mode),
        (closing.ceremony, closing.kind, closing.script_sha256, closing.mode),
        (script.id, script.kind, closing.files[SCRIPT], closing.mode),
    }
    if len(named) != 1:
        raise bad_bundle(
            "BUNDLE-SCRIPT", "script, manifest and closing statement are of different ceremonies"
        )


def _check_keys(manifest: Manifest, script: ScriptFacts, keys: tuple[KeyEntry, ...]) -> None:
    wrapped = {key.label for key in script.keys.values() if key.backup == "wrap"}
    for key in keys:
        if key.id != key_id(manifest.ceremony, key.step, key.attempt).hex():
            raise bad_bundle("BUNDLE-KEYS", f"the id of key {key.label} is not that of its ceremony and step")
        if key.extractable and key.label not in wrapped:
            raise bad_bundle(
                "BUNDLE-KEYS", f"key {key.label} can leave its token, and the script has no such key"
            )
        if key.token.label.startswith(REHEARSAL_PREFIX) != (manifest.mode == "rehearsal"):
            raise bad_bundle("BUNDLE-MODE", f"token {key.token.label} is not one for a {manifest.mode}")
    if len({key.spki_sha256 for key in keys}) != len(keys) or len({key.uri for key in keys}) != len(keys):
        raise bad_bundle("BUNDLE-KEYS", "a key is in its list twice")
    named = manifest.key_uris()
    if len(set(named)) != len(named):
        raise bad_bundle("BUNDLE-KEYS", "one key serves two purposes")
    for uri in named:
        rehearsed = uri.startswith(f"pkcs11:token={REHEARSAL_PREFIX}")
        if rehearsed != (manifest.mode == "rehearsal"):
            raise bad_bundle("BUNDLE-MODE", f"the token of {uri} is not one for a {manifest.mode}")
