"""Whether a document is what the script asks for: it is made anew from script, inputs and keys, and compared.

A transcript's last lines and the files of its folder are nobody's word until somebody has signed after them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from ca_server.core.clock import to_text
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.documents import (
    BAD_DER,
    Document,
    description_path,
    document_path,
    read_document,
    unsigned_twin,
)
from ceremony.drafts import Draft, Given
from ceremony.steps.certificates import draft_certificate
from ceremony.steps.crls import draft_crl
from ceremony.steps.requests import draft_request

if TYPE_CHECKING:
    from ceremony.room import Room


def scripted(room: Room, name: str) -> Draft:
    """The document `name` of the folder, once it is byte for byte the one that the script asks for.

    Only what no script can say is taken from it: a serial number, and the moment of its making, which lies
    between the opening and now. What it is made from, if it was made here too, must be the script's as well.

    Raises:
        CaError: conflict, `CEREMONY-TBS-SCRIPT`; or what making it anew refuses, as `CEREMONY-ISSUER-KEY`.
    """
    tbs = room.read(document_path(name))
    try:
        document = read_document(room.read(description_path(name)))
        wanted = _draft(room, name, _given(room, name, document, tbs))
    except BAD_DER as error:
        raise _other(name, "cannot be read") from error
    if wanted.tbs != tbs:
        raise _other(name, "is not the one that the script asks for")
    if wanted.document != document:
        raise _other(name, "is described otherwise than the script does")
    for source in _sources(room, name):
        _require_product(room, source)
    return wanted


def _draft(room: Room, name: str, given: Given) -> Draft:
    if name in room.script.profiles:
        return draft_certificate(room, name, given)
    if name in room.script.crls:
        return draft_crl(room, name, given)
    return draft_request(room, name)


def _given(room: Room, name: str, document: Document, tbs: bytes) -> Given:
    """What is taken from the bytes; the script's own dates and lengths are not."""
    opened = room.lines[0].utc
    twin = unsigned_twin(document, tbs)
    if name in room.script.profiles:
        certificate = x509.load_der_x509_certificate(twin)
        moment = certificate.not_valid_before_utc
        if room.script.profiles[name].lifetime is None:
            return Given(opened, certificate.serial_number)
        return Given(_made_here(room, name, moment), certificate.serial_number)
    if name in room.script.crls:
        return Given(_made_here(room, name, x509.load_der_x509_crl(twin).last_update_utc))
    return Given(opened)


def _made_here(room: Room, name: str, moment: datetime) -> datetime:
    opened, now = room.lines[0].utc, room.clock.now()
    if not opened <= moment <= now:
        raise _other(name, f"is of {to_text(moment)}, not of {to_text(opened)} to {to_text(now)}")
    return moment


def _sources(room: Room, name: str) -> list[str]:
    """The documents of this ceremony whose products the document is made from."""
    script = room.script
    if name in script.profiles:
        profile = script.profiles[name]
        named = [profile.issuer, profile.like, profile.request]
    elif name in script.crls:
        named = [script.crls[name].issuer]
    else:
        named = [script.requests[name].like]
    made = script.profiles.keys() | script.requests.keys()
    return [each for each in named if each in made and each is not None]


def _require_product(room: Room, name: str) -> None:
    """Pass a certificate or CSR that was made here from the very bytes that the script asks for."""
    source = scripted(room, name)
    der = room.read(source.document.product)
    try:
        if source.document.kind == "csr":
            signed = x509.load_der_x509_csr(der).tbs_certrequest_bytes
        else:
            signed = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    except BAD_DER as error:
        raise _other(name, "has a product that cannot be read") from error
    if signed != source.tbs:
        raise _other(name, "has another product than the script asks for")


def _other(name: str, what: str) -> CaError:
    return refuse(Kind.CONFLICT, "CEREMONY-TBS-SCRIPT", f"document '{name}' {what}")
