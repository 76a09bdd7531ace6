"""Practice officers: software keys and shares in files, for rehearsals that nobody has to sit through."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import rfc8785

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.clock import to_text
from ca_server.core.errors import CaError, Kind
from ceremony.folder import make_folder, place, place_below, read_below
from ceremony.people import Question
from ceremony.script import Script

DOMAIN = "rehearsal.example"
_SECONDS = 30
_MAX_BYTES = 4096
_PERSONS = {
    RoleName.ADMINISTRATOR: 1,
    RoleName.SECURITY_OFFICER: 3,
    RoleName.KEY_OFFICER: 3,
    RoleName.CUSTODIAN: 5,
    RoleName.INTERNAL_WITNESS: 1,
    RoleName.EXTERNAL_WITNESS: 1,
    RoleName.SYSTEM_ADMIN: 1,
    RoleName.INCIDENT_OWNER: 1,
    RoleName.AUDITOR: 1,
}


def make_practice_roster(script: Script, folder: Path, now: datetime) -> Path:
    """A roster of practice officers for every role, and for the groups that the script names besides.

    Their keys lie in `folder`, one file a person; a roster that is there already stays. Its path.

    Raises:
        CaError: unavailable, ssh-keygen is not there or does not work.
    """
    path = folder / "roster.json"
    if path.exists():
        return path
    make_folder(folder)
    groups = {
        f"{role}es" if role.endswith("s") else f"{role}s": [
            f"{role}-{number}" for number in range(1, count + 1)
        ]
        for role, count in _PERSONS.items()
    }
    for role in script.roles.values():
        if role.group not in groups:
            groups[role.group] = [f"{role.group}-{number}" for number in range(1, role.quorum + 1)]
    for share_set in script.shares.values():
        if share_set.group not in groups:
            groups[share_set.group] = [
                f"{share_set.group}-{number}" for number in range(1, share_set.threshold + 2)
            ]
    persons = sorted({person for group in groups.values() for person in group})
    valid_until = to_text(now + timedelta(days=3660))
    roster: dict[str, Any] = {
        "domain": DOMAIN,
        "format": "ceremony-roster/v1",
        "groups": groups,
        "persons": [
            {
                "id": person,
                "name": f"{person.replace('-', ' ').capitalize()} (practice)",
                "keys": [
                    {
                        "kept_in": "file",
                        "public_key": _make_key(folder / person),
                        "use": "rehearsal",
                        "valid_until": valid_until,
                    }
                ],
            }
            for person in persons
        ],
        "previous": None,
        "sequence": 1,
    }
    place(path, rfc8785.dumps(roster))
    return path


class PracticeOfficers:
    """Answers for everybody; `folder` holds keys and, below `shares/`, what custodians were given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def choose(self, role: str, candidates: Sequence[str], signed: Sequence[str]) -> str:
        """The first who has not signed."""
        del role, signed
        return candidates[0]

    def sign(self, person: str, statement: Path, namespace: str) -> None:
        """Sign with the person's key file, as the person would."""
        sign_with_ssh_keygen(self._folder / person, statement, namespace)

    def hand_over_share(self, person: str, share_set: str, mnemonic: str) -> None:
        """Keep it in a file that nobody else may read."""
        place_below(self._folder, self._share(person, share_set), mnemonic.encode() + b"\n", mode=0o600)

    def ask_share(self, person: str, share_set: str) -> str:
        """What the custodian was given."""
        try:
            data = read_below(self._folder, self._share(person, share_set), _MAX_BYTES)
        except CaError as error:
            detail = f"practice officer {person} has no share of '{share_set}'"
            raise CaError(Kind.NOT_FOUND, detail) from error
        return data.decode("ascii", "replace")

    def destroy_share(self, person: str, share_set: str) -> None:
        """Remove its file, where there is one."""
        (self._folder / self._share(person, share_set)).unlink(missing_ok=True)

    def answer(self, question: Question) -> str:
        """The question's own example."""
        return question.example

    def confirm(self, words: str) -> None:
        """Everything is so."""
        del words

    @staticmethod
    def _share(person: str, share_set: str) -> str:
        return f"shares/{person}/{share_set}"


def sign_with_ssh_keygen(key: Path, statement: Path, namespace: str) -> None:
    """Have `ssh-keygen` sign here; where the key needs a PIN or a touch, it asks at this terminal itself.

    Raises:
        CaError: unavailable, it did not.
    """
    signature = statement.with_name(statement.name + ".sig")
    signature.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace, str(statement)]
    _run(command, f"{key.name} could not sign {statement.name}")


def _make_key(path: Path) -> str:
    public = path.with_name(path.name + ".pub")
    if not public.exists():
        path.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
        _run(command, f"no key could be made for {path.name}")
    kind, blob, *_ = read_below(public.parent, public.name, _MAX_BYTES).decode("ascii", "replace").split()
    return f"{kind} {blob}"


def _run(command: list[str], what: str) -> None:
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise CaError(Kind.UNAVAILABLE, f"{what}: ssh-keygen failed") from error
