"""The roster: who the people of a site's ceremonies are, which keys they sign with, and their groups.

Canonical JSON (RFC 8785): every spelling but one is refused. Each roster names the SHA-256 of the one before.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import rfc8785
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.ssh_keys import SSHPublicKey, parse_public_key
from ca_server.core.clock import from_rfc3339, to_text
from ca_server.core.document import Strict, broken, refuse_all
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.name_syntax import canonical_dns
from ca_server.core.profile_words import tuple_of_list
from ca_server.core.strict_json import parse_json

FORMAT = "ceremony-roster/v1"
MAX_ROSTER_BYTES = 256 * 1024
MAX_PERSONS = 100
MAX_KEYS_OF_ONE = 8
MAX_GROUPS = 32

Mode = Literal["rehearsal", "production"]

# A transcript names who acted in one word: a person, a role, or the engine.
_RESERVED = frozenset({"engine", *RoleName})
_MAX_NAME = 128


def _public_key(value: object) -> SSHPublicKey:
    if not isinstance(value, str):
        raise broken("CEREMONY-PUBLIC-KEY", "a public key is a text")
    try:
        key = parse_public_key(value)
    except CaError as error:
        raise broken("CEREMONY-PUBLIC-KEY", error.detail) from error
    if key.line != value:
        raise broken("CEREMONY-PUBLIC-KEY", "leave out what stands after the key's kind and its Base64")
    return key


def _time(value: object) -> datetime:
    try:
        moment = from_rfc3339(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or to_text(moment) != value or moment.year < 2000:
        raise broken("CEREMONY-ROSTER-TIME", "write a time as 2028-01-01T00:00:00Z")
    return moment


def _name(value: str) -> str:
    if not value.isprintable() or value != value.strip() or unicodedata.normalize("NFC", value) != value:
        raise broken(
            "CEREMONY-ROSTER-NAME", "a name is printable text in Unicode's form NFC, without blanks around"
        )
    return value


def _domain(value: object) -> str:
    try:
        canonical = canonical_dns(value) if isinstance(value, str) else None
    except CaError:
        canonical = None
    if canonical is None or canonical != value or "*" in canonical:
        raise broken("CEREMONY-ROSTER-DOMAIN", "the domain is one DNS name in small letters")
    return canonical


def _some(value: object) -> object:
    # A minimal length would be counted after refused entries are left out, and be said to be broken too.
    if value == []:
        raise broken("CEREMONY-ROSTER-VALUE", "at least one is needed")
    return tuple_of_list(value)


_Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]


class RosterKey(Strict):
    """One key of a person; a key in a file is for rehearsals only, and a FIDO key is kept in a FIDO token."""

    kept_in: Literal["fido", "smartcard", "file"]
    public_key: Annotated[SSHPublicKey, PlainValidator(_public_key)]
    use: Mode
    valid_until: Annotated[datetime, PlainValidator(_time)]

    def fits(self, mode: Mode) -> bool:
        """Whether it may sign in this mode; one may rehearse with a production key, and not the reverse."""
        return mode == "rehearsal" or self.use == "production"

    def is_expired(self, moment: datetime) -> bool:
        """Whether its last second is over; `ssh-keygen` takes `valid-before` in the same way."""
        return moment > self.valid_until


class Person(Strict):
    """Somebody who takes part in ceremonies."""

    id: _Slug
    keys: Annotated[tuple[RosterKey, ...], Field(max_length=MAX_KEYS_OF_ONE), BeforeValidator(_some)]
    name: Annotated[str, Field(min_length=1, max_length=_MAX_NAME), AfterValidator(_name)]


class _Document(Strict):
    domain: Annotated[str, PlainValidator(_domain)]
    format: Literal["ceremony-roster/v1"]
    groups: Annotated[
        dict[_Slug, Annotated[tuple[_Slug, ...], BeforeValidator(_some)]],
        Field(max_length=MAX_GROUPS),
    ]
    persons: Annotated[tuple[Person, ...], Field(max_length=MAX_PERSONS), BeforeValidator(_some)]
    previous: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    sequence: int = Field(ge=1, le=1_000_000)


@dataclass(frozen=True, slots=True)
class Roster:
    """A roster in force; `sha256` is the hex digest of its bytes, `persons` id -> person."""

    sha256: str
    domain: str
    sequence: int
    previous: str | None
    persons: Mapping[str, Person]
    groups: Mapping[str, tuple[str, ...]]

    def namespace(self, mode: Mode) -> str:
        """The SSHSIG namespace of a mode, so that what was signed in a rehearsal proves nothing elsewhere."""
        return f"{'ceremony' if mode == 'production' else 'ceremony-rehearsal'}@{self.domain}"

    def person(self, person_id: str) -> Person:
        """The person of this id.

        Raises:
            CaError: forbidden, `CEREMONY-PERSON`.
        """
        person = self.persons.get(person_id)
        if person is None:
            raise refuse(Kind.FORBIDDEN, "CEREMONY-PERSON", "the roster has no person of this id")
        return person


def parse_roster(data: bytes) -> Roster:
    """The roster in these bytes.

    Raises:
        CaError: malformed, `CEREMONY-ROSTER-…` or `CEREMONY-PUBLIC-KEY`; all that is wrong in it at once.
    """
    if len(data) > MAX_ROSTER_BYTES:
        detail = f"the roster is over {MAX_ROSTER_BYTES // 1024} KiB"
        raise refuse(Kind.MALFORMED, "CEREMONY-ROSTER-SIZE", detail)
    try:
        content = parse_json(data)
        canonical = rfc8785.dumps(content) == data
    except (ValueError, rfc8785.CanonicalizationError) as error:
        raise refuse(Kind.MALFORMED, "CEREMONY-ROSTER-JSON", "the roster is not JSON") from error
    if not canonical:
        detail = (
            "the roster is not canonical JSON (RFC 8785): sorted members, no blanks, no line feed at the end"
        )
        raise refuse(Kind.MALFORMED, "CEREMONY-ROSTER-JSON", detail)
    try:
        document = _Document.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise refuse_all("roster", tuple(_violation(each) for each in details)) from error
    violations = (*_bad_persons(document), *_bad_keys(document), *_bad_groups(document), *_bad_link(document))
    if violations:
        raise refuse_all("roster", violations)
    return Roster(
        sha256=hashlib.sha256(data).hexdigest(),
        domain=document.domain,
        sequence=document.sequence,
        previous=document.previous,
        persons={person.id: person for person in document.persons},
        groups=document.groups,
    )


def allowed_signers(roster: Roster, mode: Mode) -> bytes:
    """The file with which `ssh-keygen -Y verify` checks the signatures of a ceremony in this mode."""
    lines = [
        f'{person.id} namespaces="{roster.namespace(mode)}",valid-before="{key.valid_until:%Y%m%d%H%M%S}Z"'
        f" {key.public_key.line}\n"
        for person in roster.persons.values()
        for key in person.keys
        if key.fits(mode)
    ]
    return "".join(lines).encode()


@dataclass(frozen=True, slots=True)
class Succession:
    """What a new roster changes; `replaced` is group -> its old persons who left it or kept no key.

    Whoever replaces as many as a quorum at once could have the whole quorum replaced: a step then demands
    signatures of the new persons too.
    """

    added_persons: tuple[str, ...]
    removed_persons: tuple[str, ...]
    added_keys: tuple[tuple[str, str], ...]
    removed_keys: tuple[tuple[str, str], ...]
    replaced: Mapping[str, tuple[str, ...]]


def check_successor(old: Roster, new: Roster) -> Succession:
    """What changes from a roster to the one after it; keys are pairs of person and hex SHA-256 of the blob.

    Raises:
        CaError: malformed, `CEREMONY-ROSTER-SUCCESSOR`.
    """
    if (new.sequence, new.previous, new.domain) != (old.sequence + 1, old.sha256, old.domain):
        detail = (
            f"a roster does not name roster {old.sequence} of {old.domain}, its domain and the next number"
        )
        raise refuse(Kind.MALFORMED, "CEREMONY-ROSTER-SUCCESSOR", detail)
    before, after = _keys(old), _keys(new)
    keep_one = {person for person, _ in before & after}
    return Succession(
        added_persons=tuple(sorted(new.persons.keys() - old.persons.keys())),
        removed_persons=tuple(sorted(old.persons.keys() - new.persons.keys())),
        added_keys=tuple(sorted(after - before)),
        removed_keys=tuple(sorted(before - after)),
        replaced={
            group: tuple(sorted(set(members) - (keep_one & set(new.groups.get(group, ())))))
            for group, members in old.groups.items()
        },
    )


def _keys(roster: Roster) -> set[tuple[str, str]]:
    return {(person.id, key.public_key.sha256) for person in roster.persons.values() for key in person.keys}


def _violation(error: ErrorDetails) -> Violation:
    kind = error["type"]
    own = kind.startswith("CEREMONY-")
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"])
    return Violation(kind if own else "CEREMONY-ROSTER-VALUE", error["msg"], pointer or None)


def _bad_persons(document: _Document) -> Iterator[Violation]:
    for person_id, count in Counter(person.id for person in document.persons).items():
        if count > 1:
            yield Violation("CEREMONY-ROSTER-PERSON", f"{person_id} is there twice", "/persons")
        if person_id in _RESERVED:
            yield Violation("CEREMONY-ROSTER-PERSON", f"{person_id} is no id for a person", "/persons")


def _bad_keys(document: _Document) -> Iterator[Violation]:
    seen: set[bytes] = set()
    for index, person in enumerate(document.persons):
        for number, key in enumerate(person.keys):
            pointer = f"/persons/{index}/keys/{number}"
            if key.public_key.blob in seen:
                yield Violation("CEREMONY-ROSTER-KEY-REPEATED", "a key is there twice", pointer)
            if key.kept_in == "file" and key.use == "production":
                detail = "a key in a file is for rehearsals only"
                yield Violation("CEREMONY-ROSTER-KEPT-IN", detail, pointer)
            if key.public_key.is_security_key != (key.kept_in == "fido"):
                detail = "keys of the sk- kinds, and no others, are kept in a FIDO token"
                yield Violation("CEREMONY-ROSTER-KEPT-IN", detail, pointer)
            seen.add(key.public_key.blob)


def _bad_groups(document: _Document) -> Iterator[Violation]:
    known = {person.id for person in document.persons}
    for group, members in document.groups.items():
        if not known.issuperset(members) or len(set(members)) != len(members):
            detail = f"group {group} names somebody twice, or somebody who is not in the roster"
            yield Violation("CEREMONY-ROSTER-GROUP", detail, f"/groups/{group}")


def _bad_link(document: _Document) -> Iterator[Violation]:
    if (document.sequence == 1) != (document.previous is None):
        detail = "the first roster has no previous one, and every other has"
        yield Violation("CEREMONY-ROSTER-PREVIOUS", detail, "/previous")
