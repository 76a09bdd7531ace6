"""Whether the tables of a script name each other rightly, and whether every key has one purpose and place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from ca_server.core.errors import Violation
from ca_server.core.signatures import KeyType
from ceremony.steps.verb import Category

if TYPE_CHECKING:
    from ceremony.profiles import Profile
    from ceremony.script import Script

Value = TypeVar("Value")

# Nobody asks for the status of a delegated signer (id-pkix-ocsp-nocheck), so only its end ends a theft.
MAX_RESPONDER_LIFETIME = timedelta(days=366)
# A root's CRL may be a year old at most (CA/Browser Forum BR 7.2, good practice inside a house too).
MAX_CRL_LIFETIME = timedelta(days=366)

_LOG_KEY_TYPES = {KeyType.ED25519, KeyType.EC_P256}
# What a site may bring into the room and no step reads: it is kept as evidence.
_EVIDENCE = {"checkpoint", "file"}


def check_references(script: Script) -> Iterator[Violation]:
    """What is wrong between the tables of a script."""
    yield from _certificates(script)
    yield from _crls(script)
    yield from _requests(script)
    yield from _keys(script)
    yield from _made(script)
    yield from _unused(script)


def _certificates(script: Script) -> Iterator[Violation]:
    for name, profile in script.profiles.items():
        pointer = f"/profiles/{name}"
        for field in ("key", "issuer_key"):
            key = getattr(profile, field)
            if key is not None and key not in script.keys:
                yield Violation("CEREMONY-REFERENCE", f"there is no key '{key}'", f"{pointer}/{field}")
        for field in ("issuer", "like"):
            if (named := getattr(profile, field)) and not _is_certificate(script, named):
                detail = f"there is no certificate '{named}' among profiles and inputs"
                yield Violation("CEREMONY-REFERENCE", detail, f"{pointer}/{field}")
        if (
            profile.request
            and not _is_input(script, profile.request, "csr")
            and profile.request not in script.requests
        ):
            detail = f"there is no CSR '{profile.request}'"
            yield Violation("CEREMONY-REFERENCE", detail, f"{pointer}/request")
        if profile.issuer and script.publication is None:
            detail = "a certificate with an issuer needs [publication]"
            yield Violation("CEREMONY-PUBLICATION", detail, pointer)
        yield from _below(script, pointer, profile)
    subjects = [each.subject for each in script.profiles.values() if each.subject]
    for subject in _repeated(subjects):
        detail = f"two certificates have the common name '{subject.common_name}'"
        yield Violation("CEREMONY-SUBJECT-REPEATED", detail, "/profiles")


def _below(script: Script, pointer: str, profile: Profile) -> Iterator[Violation]:
    """How a profile stands below its issuer's, where that is made in the same ceremony."""
    issuer = script.profiles.get(profile.issuer or "")
    if issuer is not None:
        if issuer.type not in {"root", "authority"}:
            detail = f"'{profile.issuer}' is no authority"
            yield Violation("CEREMONY-REFERENCE", detail, f"{pointer}/issuer")
        if issuer.key != profile.issuer_key:
            detail = f"the key of '{profile.issuer}' is not '{profile.issuer_key}'"
            yield Violation("CEREMONY-ISSUER-KEY", detail, f"{pointer}/issuer_key")
        limit, own = issuer.path_length, profile.path_length
        if profile.type == "authority" and limit is not None and (own is None or own >= limit):
            detail = f"'{profile.issuer}' allows a path length below {limit} here"
            yield Violation("CEREMONY-PATH-LENGTH", detail, f"{pointer}/path_length")
    if profile.type == "responder":
        length = profile.lifetime
        if length is None and profile.not_before and profile.not_after:
            length = profile.not_after - profile.not_before
        if length is not None and length > MAX_RESPONDER_LIFETIME:
            detail = f"an OCSP signer lives {MAX_RESPONDER_LIFETIME.days} days at most"
            yield Violation("CEREMONY-RESPONDER-LIFETIME", detail, pointer)


def _crls(script: Script) -> Iterator[Violation]:
    for name, crl in script.crls.items():
        pointer = f"/crls/{name}"
        if crl.issuer_key not in script.keys:
            yield Violation(
                "CEREMONY-REFERENCE", f"there is no key '{crl.issuer_key}'", f"{pointer}/issuer_key"
            )
        if not _is_certificate(script, crl.issuer):
            detail = f"there is no certificate '{crl.issuer}' among profiles and inputs"
            yield Violation("CEREMONY-REFERENCE", detail, f"{pointer}/issuer")
        if crl.previous and not _is_input(script, crl.previous, "crl"):
            detail = f"there is no CRL '{crl.previous}' among the inputs"
            yield Violation("CEREMONY-REFERENCE", detail, f"{pointer}/previous")
        if crl.issuer in script.profiles and crl.previous:
            detail = f"'{crl.issuer}' is made here, and so has no previous CRL"
            yield Violation("CEREMONY-CRL-PREVIOUS", detail, f"{pointer}/previous")
        for index, each in enumerate(crl.revoke):
            if not _is_input(script, each.certificate, "certificate"):
                detail = f"there is no certificate '{each.certificate}' among the inputs"
                yield Violation("CEREMONY-REFERENCE", detail, f"{pointer}/revoke/{index}/certificate")
        if crl.lifetime > MAX_CRL_LIFETIME:
            detail = f"a root's CRL lives {MAX_CRL_LIFETIME.days} days at most"
            yield Violation("CEREMONY-CRL-LIFETIME", detail, f"{pointer}/lifetime")
    for issuer in _repeated(each.issuer for each in script.crls.values()):
        yield Violation("CEREMONY-ID-REPEATED", f"two CRLs are of '{issuer}'", "/crls")


def _requests(script: Script) -> Iterator[Violation]:
    for name, request in script.requests.items():
        if request.key not in script.keys:
            detail = f"there is no key '{request.key}'"
            yield Violation("CEREMONY-REFERENCE", detail, f"/requests/{name}/key")
        if request.like and not _is_input(script, request.like, "certificate"):
            detail = f"there is no certificate '{request.like}' among the inputs"
            yield Violation("CEREMONY-REFERENCE", detail, f"/requests/{name}/like")


def _purposes(script: Script) -> Iterator[tuple[str, str, str]]:
    """Where a key gets its purpose -> the key, and the purpose."""
    own = {profile.key for profile in script.profiles.values()}
    for name, profile in script.profiles.items():
        if profile.key is not None:
            purpose = {"root": "root", "responder": "responder"}.get(profile.type, "issuing")
            yield f"/profiles/{name}", profile.key, purpose
    for name, request in script.requests.items():
        if request.key not in own:
            yield f"/requests/{name}", request.key, "issuing" if request.like is None else "asking"
    if script.log is not None:
        yield "/log", script.log.key, "log"


def _signing_purposes(script: Script) -> Iterator[tuple[str, str]]:
    """What keys that were made before are for, as far as what they sign here tells."""
    for profile in script.profiles.values():
        yield profile.issuer_key, "issuing" if profile.type == "responder" else "root"
    for crl in script.crls.values():
        yield crl.issuer_key, "root"


def _keys(script: Script) -> Iterator[Violation]:
    purposes = list(_purposes(script))
    for key in _repeated(key for _, key, _ in purposes):
        yield Violation("CEREMONY-KEY-PURPOSE", f"key '{key}' has more than one purpose", f"/keys/{key}")
    roles: dict[str, set[str]] = {}
    named = {key for _, key, _ in purposes}
    others = [(key, purpose) for key, purpose in _signing_purposes(script) if key not in named]
    for key, purpose in [*((key, purpose) for _, key, purpose in purposes), *others]:
        if key in script.keys and purpose != "asking":
            roles.setdefault(script.keys[key].hsm, set()).add(purpose)
    for hsm, found in roles.items():
        if len(found) > 1:
            detail = f"device '{hsm}' holds keys of {' and '.join(sorted(found))}; give each its own"
            yield Violation("CEREMONY-TOKEN-ROLE", detail, f"/hsm/{hsm}")
    for hsm, label in _repeated((key.hsm, key.label) for key in script.keys.values()):
        detail = f"two keys in device '{hsm}' are labelled '{label}'"
        yield Violation("CEREMONY-LABEL-REPEATED", detail, "/keys")
    log_key = script.keys.get(script.log.key) if script.log else None
    if log_key and log_key.type not in _LOG_KEY_TYPES:
        yield Violation("CEREMONY-LOG-KEY", "the log's key is ed25519 or ec-p256", "/log/key")
    if script.log and not log_key:
        yield Violation("CEREMONY-REFERENCE", f"there is no key '{script.log.key}'", "/log/key")


def _made(script: Script) -> Iterator[Violation]:
    """Every key that a table names is there before, or one step makes it."""
    for index, step in enumerate(script.steps):
        key = getattr(step, "key", None)
        if key is not None and key not in script.keys:
            yield Violation("CEREMONY-REFERENCE", f"there is no key '{key}'", f"/steps/{index}/key")
    made = {name.name for step in script.steps for name in step.makes() if name.category is Category.KEY}
    for alias in sorted(_named_keys(script) & script.keys.keys()):
        existing = script.keys[alias].existing
        if existing == (alias in made):
            words = "is there before, and a step makes it" if existing else "is made by no step"
            yield Violation("CEREMONY-REFERENCE", f"key '{alias}' {words}", f"/keys/{alias}")


def _named_keys(script: Script) -> set[str]:
    return {key for _, key, _ in _purposes(script)} | {key for key, _ in _signing_purposes(script)}


def _unused(script: Script) -> Iterator[Violation]:
    """What no table and no step names would be made, or brought, for nobody."""
    read = {(name.category, name.name) for step in script.steps for name in step.reads()}
    # An inventory sees a key, and is no use of it.
    readers = (step for step in script.steps if step.do != "hsm.inventory")
    keys = _named_keys(script) | {
        name.name for step in readers for name in step.reads() if name.category is Category.KEY
    }
    keys |= {step.key for step in script.steps if step.do == "key.restore"}
    for alias in sorted(script.keys.keys() - keys):
        yield Violation("CEREMONY-UNUSED", f"nothing uses key '{alias}'", f"/keys/{alias}")
    devices = {key.hsm for key in script.keys.values()} | _names(read, Category.HSM)
    for alias in sorted(script.hsm.keys() - devices):
        yield Violation("CEREMONY-UNUSED", f"no key is in device '{alias}'", f"/hsm/{alias}")
    for table, category in (
        ("profiles", Category.PROFILE),
        ("crls", Category.CRL),
        ("requests", Category.REQUEST),
    ):
        for name in sorted(getattr(script, table).keys() - _names(read, category)):
            yield Violation("CEREMONY-UNUSED", f"no step builds '{name}'", f"/{table}/{name}")
    used = {
        name
        for profile in script.profiles.values()
        for name in (profile.issuer, profile.like, profile.request)
    }
    used |= {name for crl in script.crls.values() for name in (crl.issuer, crl.previous)}
    used |= {each.certificate for crl in script.crls.values() for each in crl.revoke}
    used |= {request.like for request in script.requests.values()}
    used |= {
        name for category, name in read if category in {Category.INPUT, Category.CERTIFICATE, Category.FILE}
    }
    used |= script.shares.keys()  # an input of that name is the record of the set
    for index, each in enumerate(script.inputs):
        if each.name not in used and each.type not in _EVIDENCE:
            yield Violation("CEREMONY-UNUSED", f"nothing reads input '{each.name}'", f"/inputs/{index}")


def _names(read: set[tuple[Category, str]], category: Category) -> set[str]:
    return {name for each, name in read if each is category}


def _is_certificate(script: Script, name: str) -> bool:
    return name in script.profiles or _is_input(script, name, "certificate")


def _is_input(script: Script, name: str, kind: str) -> bool:
    return any(each.name == name and each.type == kind for each in script.inputs)


def _repeated(values: Iterable[Value]) -> list[Value]:
    return [value for value, count in Counter(values).items() if count > 1]
