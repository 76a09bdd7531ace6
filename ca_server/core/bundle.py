"""What a ceremony hands to the server: one archive, a manifest that names every file, and how both are read.

The manifest says nothing that some digested file, key or certificate beside it does not bear out; the words
of authorities, responders and log are checked in `core.hierarchy`. Whoever could rewrite the whole archive
could rewrite the manifest too, so people compare the archive's own SHA-256, which the ceremony shows.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from ca_server.core.archive import pack, unpack
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import KeyType, SignatureAlgorithm

FORMAT = "ceremony-bundle/v1"
MANIFEST = "manifest.json"
SCRIPT = "script.toml"
KEYS = "keys.json"
API_SERVER_CSR = "api-server.csr"
REHEARSAL_PREFIX = "REHEARSAL-"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
Text = Annotated[str, Field(max_length=256)]
Model = TypeVar("Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class AuthorityEntry(_Part):
    """An authority: a null `key_uri` means that its key stays offline, a null `crl` that it has none yet."""

    id: Id
    role: Literal["root", "issuing"]
    issuer: Id
    certificate: Text
    key_uri: Text | None
    signature_algorithm: SignatureAlgorithm
    crl: Text | None


class ResponderEntry(_Part):
    """The delegated OCSP signer of one authority."""

    authority: Id
    certificate: Text
    key_uri: Text


class LogEntry(_Part):
    """The audit log's name, its key, and the verifier key that outsiders need (C2SP signed note)."""

    origin: Text
    key_uri: Text
    vkey: Text


class APIServerEntry(_Part):
    """The server's TLS key: its CSR, and the alias under which the host file says where the key lies."""

    csr: Literal["api-server.csr"]
    key: Literal["api-server"]


class Manifest(_Part):
    """The bundle's table of contents; the certificates' own words are not repeated."""

    format: Literal["ceremony-bundle/v1"]
    ceremony: Id
    mode: Literal["rehearsal", "production"]
    script_sha256: Digest
    files: dict[str, Digest]
    authorities: tuple[AuthorityEntry, ...]
    responders: tuple[ResponderEntry, ...]
    log: LogEntry
    api_server: APIServerEntry


class TokenEntry(_Part):
    """The token that made a key, as it described itself."""

    label: Text
    serial: Text
    manufacturer: Text
    model: Text
    firmware: Text


class KeyEntry(_Part):
    """A key as its token described it after it was made; the flags are those read back (PKCS#11 §4.9)."""

    step: Text
    token: TokenEntry
    label: Text
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    type: KeyType
    spki_sha256: Digest
    private: Literal[True]
    sensitive: Literal[True]
    always_sensitive: Literal[True]
    extractable: Literal[False]
    never_extractable: Literal[True]
    local: Literal[True]

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
    """A bundle whose files are exactly those that its manifest names, each with the digest it gives."""

    sha256: str
    manifest: Manifest
    keys: tuple[KeyEntry, ...]
    files: Mapping[str, bytes]


def key_id(ceremony: str, step: str) -> bytes:
    """The CKA_ID of the key that a step makes: the same on every run of the same ceremony."""
    return hashlib.sha256(f"{ceremony}\n{step}\n".encode()).digest()[:16]


def certificate_path(authority: str) -> str:
    """Where an authority's certificate stands in a bundle."""
    return f"authorities/{authority}.cer"


def crl_path(authority: str) -> str:
    """Where an authority's first CRL stands in a bundle."""
    return f"crls/{authority}.crl"


def responder_path(authority: str) -> str:
    """Where the certificate of an authority's OCSP signer stands in a bundle."""
    return f"responders/{authority}.cer"


def write_bundle(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """The archive of these files and their manifest (RFC 8785)."""
    return pack({**files, MANIFEST: rfc8785.dumps(manifest.model_dump(mode="json"))})


def read_bundle(data: bytes) -> Bundle:
    """The bundle, once structure, digests, names, keys and mode agree; `core.hierarchy` checks signatures.

    Raises:
        CaError: malformed, one `BUNDLE-…` rule.
    """
    files = unpack(data)
    manifest_data = files.pop(MANIFEST, b"")
    manifest = _strict(manifest_data, Manifest, "BUNDLE-MANIFEST", MANIFEST)
    _check_files(manifest, files)
    keys = _strict(files[KEYS], KeyList, "BUNDLE-KEYS", KEYS).root
    _check_script(manifest, files[SCRIPT])
    _check_keys(manifest, keys)
    return Bundle(hashlib.sha256(data).hexdigest(), manifest, keys, files)


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


def _expected_files(manifest: Manifest) -> set[str]:
    names = {SCRIPT, KEYS, manifest.api_server.csr}
    for authority in manifest.authorities:
        names.add(certificate_path(authority.id))
        names |= {crl_path(authority.id)} if authority.crl else set()
    return names | {responder_path(responder.authority) for responder in manifest.responders}


def _check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    if not files.keys() == manifest.files.keys() == _expected_files(manifest):
        raise bad_bundle("BUNDLE-FILES", "it does not hold exactly the files that its manifest needs")
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != manifest.files[name]:
            raise bad_bundle("BUNDLE-DIGEST", f"{name} has another SHA-256 than the manifest says")
    named = [(each.certificate, certificate_path(each.id)) for each in manifest.authorities]
    named += [(each.crl, crl_path(each.id)) for each in manifest.authorities if each.crl]
    named += [(each.certificate, responder_path(each.authority)) for each in manifest.responders]
    if any(given != expected for given, expected in named):
        raise bad_bundle("BUNDLE-FILES", "a file is not named after its authority")


def _check_script(manifest: Manifest, script: bytes) -> None:
    try:
        ceremony = tomllib.loads(script.decode()).get("id")
    except (ValueError, RecursionError) as error:
        raise bad_bundle("BUNDLE-SCRIPT", "the script in it is not TOML") from error
    if manifest.script_sha256 != manifest.files[SCRIPT] or manifest.ceremony != ceremony:
        raise bad_bundle("BUNDLE-SCRIPT", "the manifest does not name the script in it")


def _check_keys(manifest: Manifest, keys: tuple[KeyEntry, ...]) -> None:
    for key in keys:
        if key.id != key_id(manifest.ceremony, key.step).hex():
            raise bad_bundle("BUNDLE-KEYS", f"the id of key {key.label} is not that of its ceremony and step")
        if key.token.label.startswith(REHEARSAL_PREFIX) != (manifest.mode == "rehearsal"):
            raise bad_bundle("BUNDLE-MODE", f"token {key.token.label} is not one for a {manifest.mode}")
    named = [each.key_uri for each in manifest.authorities if each.key_uri is not None]
    named += [each.key_uri for each in manifest.responders] + [manifest.log.key_uri]
    if not set(named) <= {key.uri for key in keys} or len(set(named)) != len(named):
        raise bad_bundle("BUNDLE-KEYS", "a key URI does not name a key of its own that the ceremony made")
