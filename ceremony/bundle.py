"""The writing side of the bundle: from what a finished ceremony made to one archive that was read back."""

from __future__ import annotations

import hashlib

import rfc8785

from ca_server.core.audit.note import make_verifier_key
from ca_server.core.bundle import (
    FORMAT,
    KEYS,
    SCRIPT,
    APIServerEntry,
    AuthorityEntry,
    Bundle,
    LogEntry,
    Manifest,
    ResponderEntry,
    certificate_path,
    crl_path,
    read_bundle,
    responder_path,
    write_bundle,
)
from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.hierarchy import check_hierarchy
from ca_server.core.lints import Finding, blocking
from ca_server.core.lints.pkix import lint_certificate, lint_crl
from ca_server.core.signatures import default_algorithm
from ceremony.plan import Plan
from ceremony.room import Room
from ceremony.script import Authority, Script


def make_bundle(plan: Plan, mode: str, room: Room) -> bytes:
    """The archive of a finished ceremony, checked as its receiver will check it.

    Raises:
        CaError: what was made does not hold together; nothing may leave the room.
    """
    keys = [room.keys[step.alias].entry.model_dump(mode="json") for step in plan.keys]
    files = {**room.files, SCRIPT: plan.source, KEYS: rfc8785.dumps(keys)}
    data = write_bundle(_manifest(plan, mode, room, files), files)
    check_hierarchy(read_bundle(data))
    return data


def check_bundle(data: bytes) -> Bundle:
    """A bundle whose digests, signatures and chains hold and whose lints are clean.

    Raises:
        CaError: malformed, one `BUNDLE-…` rule; policy_refused, `CEREMONY-LINT`.
    """
    bundle = read_bundle(data)
    check_hierarchy(bundle)
    findings = [(path, each) for path in bundle.files for each in blocking(_lint(path, bundle.files[path]))]
    if findings:
        violations = tuple(
            Violation("CEREMONY-LINT", f"{path}: {each.severity} {each.code}: {each.detail}")
            for path, each in findings
        )
        raise CaError(Kind.POLICY_REFUSED, "lints object to the bundle", violations=violations)
    return bundle


def _lint(path: str, data: bytes) -> tuple[Finding, ...]:
    if path.endswith(".cer"):
        return lint_certificate(data)
    return lint_crl(data) if path.endswith(".crl") else ()


def _manifest(plan: Plan, mode: str, room: Room, files: dict[str, bytes]) -> Manifest:
    script = plan.script
    log_key = room.keys[script.log.key]
    return Manifest.model_validate(
        {
            "format": FORMAT,
            "ceremony": script.id,
            "mode": mode,
            "script_sha256": plan.sha256,
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "authorities": tuple(
                _authority(script, authority, room) for authority in (script.root, *script.issuing)
            ),
            "responders": tuple(
                ResponderEntry(
                    authority=responder.authority,
                    certificate=responder_path(responder.authority),
                    key_uri=room.keys[responder.key].entry.uri,
                )
                for responder in script.responders
            ),
            "log": LogEntry(
                origin=script.log.origin,
                key_uri=log_key.entry.uri,
                vkey=str(make_verifier_key(script.log.origin, log_key.public_key)),
            ),
            "api_server": APIServerEntry(csr="api-server.csr", key="api-server"),
        }
    )


def _authority(script: Script, authority: Authority, room: Room) -> AuthorityEntry:
    is_root = authority is script.root
    key = room.keys[authority.key]
    return AuthorityEntry(
        id=authority.id,
        role="root" if is_root else "issuing",
        issuer=script.root.id,
        certificate=certificate_path(authority.id),
        key_uri=None if is_root else key.entry.uri,
        signature_algorithm=default_algorithm(key.signer.key_type),
        crl=crl_path(authority.id) if is_root else None,
    )
