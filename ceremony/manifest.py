"""What a server installs of a ceremony, read off the script and what lies in the folder."""

from __future__ import annotations

from collections.abc import Iterator

from ca_server.core.bundle import (
    API_SERVER_CSR,
    APIServerEntry,
    AuthorityEntry,
    CertificateEntry,
    CRLEntry,
    LogEntry,
    Manifest,
    ResponderEntry,
    crl_path,
)
from ca_server.core.signatures import default_algorithm
from ceremony.keys import verifier_key_path
from ceremony.places import product_path
from ceremony.profiles import Profile
from ceremony.room import Room


def make_manifest(room: Room) -> Manifest:
    """The manifest of what has been made so far; a product that is not there is not in it."""
    script = room.script
    made = {
        name: profile
        for name, profile in script.profiles.items()
        if room.folder.has(product_path(name, profile))
    }
    return Manifest(
        format="ceremony-bundle/v2",
        ceremony=script.id,
        kind=script.kind,
        mode=room.mode,
        script_sha256=room.script_sha256,
        authorities=tuple(
            _authority(room, name, each) for name, each in made.items() if each.type in {"root", "authority"}
        ),
        certificates=tuple(_others(made)),
        crls=tuple(
            CRLEntry(authority=each.issuer, path=crl_path(each.issuer))
            for each in script.crls.values()
            if room.folder.has(crl_path(each.issuer))
        ),
        responders=tuple(
            ResponderEntry(
                authority=each.issuer or "",
                certificate=product_path(name, each),
                key_uri=_uri(room, each.key),
            )
            for name, each in made.items()
            if each.type == "responder"
        ),
        log=_log(room),
        api_server=APIServerEntry(csr="csrs/api-server.csr", key="api-server")
        if room.folder.has(API_SERVER_CSR)
        else None,
    )


def _authority(room: Room, name: str, profile: Profile) -> AuthorityEntry:
    is_root = profile.type == "root"
    return AuthorityEntry(
        id=name,
        role="root" if is_root else "issuing",
        issuer=profile.issuer or name,
        certificate=product_path(name, profile),
        key_uri=None if is_root else _uri(room, profile.key),
        signature_algorithm=default_algorithm(room.key_type(product_path(name, profile))),
    )


def _others(made: dict[str, Profile]) -> Iterator[CertificateEntry]:
    """Link and cross-certificates; another organization's authority is none of ours."""
    for name, profile in made.items():
        if profile.type in {"cross", "link"}:
            yield CertificateEntry(
                name=name,
                role="link" if profile.type == "link" else "cross",
                path=product_path(name, profile),
                subject=None if profile.other_organization else profile.like,
                issuer=profile.issuer,
            )


def _uri(room: Room, key: str | None) -> str | None:
    entry = room.entry(key) if key else None
    return entry.uri if entry else None


def _log(room: Room) -> LogEntry | None:
    log = room.script.log
    entry = room.entry(log.key) if log else None
    if log is None or entry is None:
        return None
    vkey = room.read(verifier_key_path(log.key)).decode().removesuffix("\n")
    return LogEntry(origin=log.origin, key_uri=entry.uri, vkey=vkey)
