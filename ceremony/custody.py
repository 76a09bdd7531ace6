"""Split secrets: handed over share by share, joined again in memory alone, and let into a device.

What the transcript and the bundle have of a set is its record: who has a share, and the SHA-256 of each.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from ca_server.core.document import Strict
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.strict_json import parse_json
from ca_server.hsm.pin import PinSource
from ca_server.hsm.port import HsmRefused
from ca_server.hsm.settings import TokenSettings
from ceremony.attendance import attendance
from ceremony.failure import Failure, Stopped, failure_of
from ceremony.fields import Slug
from ceremony.people import Deviated, Interrupted
from ceremony.shares import check_share, join, login_secret, split
from ceremony.tables import Digest

if TYPE_CHECKING:
    from ceremony.room import Room, Token

SECRET_BYTES = 32
_MAX_RECORD_BYTES = 64 * 1024
# Whoever types 33 words unseen may swap two of them; nothing is done before the shares are right.
_TRIES = 3


class ShareRecord(Strict):
    """What is known of a set without knowing a share: `shares` are person -> SHA-256 of the words."""

    format: Literal["ceremony-shares/v1"] = "ceremony-shares/v1"
    ceremony: Slug
    set: Slug
    identifier: Annotated[int, Field(ge=0, lt=1 << 15)]
    threshold: Annotated[int, Field(ge=2, le=16)]
    shares: Annotated[dict[Slug, Digest], Field(min_length=2, max_length=16)]


def parse_record(data: bytes, name: str) -> ShareRecord:
    """The record of a set, from the bundle of the ceremony that made it.

    Raises:
        CaError: malformed, `CEREMONY-SHARES`.
    """
    try:
        return ShareRecord.model_validate(parse_json(data[:_MAX_RECORD_BYTES]))
    except (ValueError, ValidationError) as error:
        detail = f"{name} is not the record of a set of shares"
        raise refuse(Kind.MALFORMED, "CEREMONY-SHARES", detail) from error


def record_path(share_set: str) -> str:
    """Where the record of a set that is made here lies in the folder and the bundle."""
    return f"shares/{share_set}.json"


def known_record(room: Room, share_set: str) -> ShareRecord | None:
    """The record of a set that was made here, or was brought in under its name."""
    for name in (record_path(share_set), f"inputs/{share_set}"):
        if room.folder.has(name):
            return parse_record(room.read(name), name)
    return None


def hand_over(room: Room, share_set: str, secret: bytes) -> tuple[ShareRecord, bytes]:
    """Split a secret, give each person of the group a share, and join it again from what they type.

    What is returned and used from here on is the secret as it was joined, so that nothing is ever locked
    under a secret that its custodians do not have.

    Raises:
        Stopped: F3, `CEREMONY-SHARE-INCOMPLETE`: it came to no whole set; what was handed over is destroyed.
        CaError: forbidden, `CEREMONY-SHARE-CUSTODIAN`: somebody who is to have a share is not here.
    """
    table = room.script.shares[share_set]
    persons = room.roster.groups[table.group]
    absent = set(persons) - set(_present(room, share_set))
    if absent:
        detail = (
            f"{', '.join(sorted(absent))} shall have a share of '{share_set}' and did not sign to be here"
        )
        raise refuse(Kind.FORBIDDEN, "CEREMONY-SHARE-CUSTODIAN", detail)
    shares = split(secret, table.threshold, len(persons))
    record = ShareRecord(
        ceremony=room.script.id,
        set=share_set,
        identifier=shares.identifier,
        threshold=table.threshold,
        shares={
            person: check_share(words).digest for person, words in zip(persons, shares.mnemonics, strict=True)
        },
    )
    room.effect({"share_set": record.model_dump(mode="json")})
    handed: list[str] = []
    try:
        for person, words in zip(persons, shares.mnemonics, strict=True):
            handed.append(person)
            _hand_one(room, person, share_set, words)
        joined = ask_secret(room, share_set, record)
        if not hmac.compare_digest(joined, secret):
            raise refuse(
                Kind.CONFLICT, "CEREMONY-SHARE-SET", f"the shares of '{share_set}' join to another secret"
            )
    except (CaError, Interrupted) as error:
        raise _destroyed(room, share_set, handed) from error
    room.write_json(record_path(share_set), record.model_dump(mode="json"))
    return record, joined


def _hand_one(room: Room, person: str, share_set: str, words: str) -> None:
    while True:
        try:
            return room.people.hand_over_share(person, share_set, words)
        except Deviated as deviation:
            room.deviate(room.step, deviation)


def _destroyed(room: Room, share_set: str, handed: list[str]) -> Stopped:
    for person in handed:
        room.people.destroy_share(person, share_set)
    room.effect({"share_set_destroyed": {"set": share_set, "handed_over": handed}})
    detail = f"the set '{share_set}' was not completed; what was handed over of it is destroyed"
    return Stopped(Failure.INTEGRITY, refuse(Kind.CONFLICT, "CEREMONY-SHARE-INCOMPLETE", detail))


def ask_secret(room: Room, share_set: str, record: ShareRecord | None = None) -> bytes:
    """A secret, joined from the shares of as many persons present as its threshold says.

    Raises:
        CaError: `CEREMONY-SHARE`, a word is wrong; `CEREMONY-SHARE-SET`, a share is of another set, or of
            another person; `CEREMONY-SHARE-COUNT`, too few persons of the group are here.
    """
    known = record or known_record(room, share_set)
    threshold = known.threshold if known else room.script.shares[share_set].threshold
    persons = [each for each in _present(room, share_set) if known is None or each in known.shares]
    if len(persons) < threshold:
        detail = f"{len(persons)} custodians of '{share_set}' are here, and {threshold} are needed"
        raise refuse(Kind.FORBIDDEN, "CEREMONY-SHARE-COUNT", detail)
    return join([ask_share(room, person, share_set, known) for person in persons[:threshold]])


def ask_share(room: Room, person: str, share_set: str, record: ShareRecord | None) -> str:
    """One person's share, once it is the one that the record has; in words they may err twice.

    Raises:
        CaError: `CEREMONY-SHARE` or `CEREMONY-SHARE-SET`.
    """
    for _ in range(1, _TRIES):
        try:
            return _ask_once(room, person, share_set, record)
        except CaError as error:
            if error.rule_ids != ("CEREMONY-SHARE",):
                raise
            room.display.say(f"NOT ACCEPTED: {error.detail} [{', '.join(error.rule_ids)}]", style="red")
    return _ask_once(room, person, share_set, record)


def _ask_once(room: Room, person: str, share_set: str, record: ShareRecord | None) -> str:
    typed = room.people.ask_share(person, share_set)
    share = check_share(typed, identifier=record.identifier if record else None)
    if record is not None and record.shares.get(person) != share.digest:
        detail = f"what {person} has is not the share of '{share_set}' that was handed over to them"
        raise refuse(Kind.CONFLICT, "CEREMONY-SHARE-SET", detail)
    return share.mnemonic


@contextmanager
def before_effect() -> Iterator[None]:
    """Class a refusal by its rules, where a step that a device will feel has not reached the device yet."""
    try:
        yield
    except CaError as error:
        raise Stopped(failure_of(error, effect_open=False), error) from error


@contextmanager
def uncertain() -> Iterator[None]:
    """Say of a failure that it is open what the device did."""
    try:
        yield
    except CaError as error:
        raise Stopped(Failure.UNCERTAIN, error) from error


def open_bound(room: Room, alias: str) -> Token:
    """A device opened as the script says: with a PIN from the host file's place, or from shares."""
    binding, device = room.host.tokens[alias], room.script.hsm[alias]
    if device.shares is None:
        return room.connect(alias, binding.settings)
    *earlier, last = _user_sets(room, alias, device.shares)
    for share_set in earlier:
        settings = split_settings(room, alias, share_set)
        with suppress(HsmRefused):
            return room.connect(alias, settings)
        settings.pin.forget()
    return room.connect(alias, split_settings(room, alias, last))


def _user_sets(room: Room, alias: str, first: str) -> list[str]:
    """The sets that may open a device: of a renewal that was cut off it is open which one does."""
    sets = [first]
    for step in room.script.steps:
        if step.do == "hsm.renew-secret" and (step.hsm, step.side) == (alias, "user"):
            if any("renewed" in each for each in room.effects(step.id)):
                sets = [step.shares]
            elif room.folder.has(record_path(step.shares)):
                sets.append(step.shares)
    return sets


def split_settings(room: Room, alias: str, share_set: str, secret: bytes | None = None) -> TokenSettings:
    """What opens a device with the secret of a set, which is asked for where it was not joined yet."""
    joined = ask_secret(room, share_set) if secret is None else secret
    pin = login_secret(joined, room.script.hsm[alias].pin_length)
    return room.host.tokens[alias].settings_with(PinSource.from_secret(pin))


def officer_settings(room: Room, alias: str) -> TokenSettings:
    """What lets the security officer into a device."""
    share_set = room.script.hsm[alias].officer_shares
    if share_set is None:
        return room.host.tokens[alias].officer_settings
    return split_settings(room, alias, share_set)


def _present(room: Room, share_set: str) -> list[str]:
    """The persons of the set's group who are here, in the group's order."""
    here = {person for person, _ in attendance(room.lines)}
    return [each for each in room.roster.groups[room.script.shares[share_set].group] if each in here]
