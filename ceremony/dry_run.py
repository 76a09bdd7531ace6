"""A script carried out once with throw-away keys in memory, so that nothing fails after a key is made.

People, devices and outputs have no part in it; a script that uses keys or files of before cannot be tried.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.ceremony.roster import Roster
from ca_server.core.ceremony.transcript import FORMAT, Event
from ca_server.hsm.ceremony_software import SoftwareCeremonyStore
from ca_server.hsm.ceremony_token import open_for_ceremony
from ca_server.hsm.pin import PinSource
from ca_server.hsm.settings import TokenSettings
from ceremony.display import Display
from ceremony.documents import description_path, document_path, read_document
from ceremony.folder import TRANSCRIPT, Folder
from ceremony.host import Host
from ceremony.journal import Journal
from ceremony.practice import PracticeOfficers
from ceremony.room import Mode, Room, Token
from ceremony.steps.certificates import BuildCertificate
from ceremony.steps.chains import CheckChain
from ceremony.steps.check import Check
from ceremony.steps.crls import BuildCRL
from ceremony.steps.keys import GenerateKey
from ceremony.steps.lint import Lint
from ceremony.steps.requests import BuildRequest
from ceremony.steps.sign import Sign

if TYPE_CHECKING:
    from ceremony.clock import RoomClock
    from ceremony.plan import Plan
    from ceremony.script import Script

_TRIED = (GenerateKey, BuildCertificate, BuildRequest, BuildCRL, Lint, Check, CheckChain)


def try_in_memory(plan: Plan, mode: Mode, clock: RoomClock) -> bool:
    """Build, lint, sign and check all with keys in memory; False where the script needs more than that.

    Raises:
        CaError: a step would fail.
    """
    if not _makes_all(plan.script):
        return False
    with TemporaryDirectory(prefix="ceremony-") as place:
        folder = Folder(Path(place))
        with Journal(folder.path(TRANSCRIPT), clock) as journal:
            journal.add(Event.OPENED, {"format": FORMAT, "script_sha256": plan.sha256})
            room = _room(plan, mode, folder, journal, clock)
            for step in plan.script.steps:
                room.step = step.id
                if isinstance(step, Sign):
                    _sign(room, step.subject)
                elif isinstance(step, _TRIED):
                    step.perform(room)
            room.close()
    return True


def _makes_all(script: Script) -> bool:
    made = {step.key for step in script.steps if isinstance(step, GenerateKey)}
    plain = all(key.backup == "none" for key in script.keys.values())
    return bool(made) and made == script.keys.keys() and plain and not script.inputs


def _room(plan: Plan, mode: Mode, folder: Folder, journal: Journal, clock: RoomClock) -> Room:
    host = {"format": "ceremony-host/v2", "mode": mode, "output_directory": str(folder.root)}
    return Room(
        source=plan.source,
        script=plan.script,
        roster=Roster("", "nobody.invalid", 1, None, {}, {}),  # nobody signs here
        host=Host.model_validate({**host, "roster": str(folder.root)}),
        folder=folder,
        journal=journal,
        people=PracticeOfficers(folder.root),
        display=Display(Console(file=StringIO())),
        clock=clock,
        open_token=open_for_ceremony,
        tokens={alias: _token(alias) for alias in plan.script.hsm},
    )


def _token(alias: str) -> Token:
    store = SoftwareCeremonyStore(REHEARSAL_PREFIX + alias, unprotected_keys=True)
    return Token(store, store.token(), TokenSettings(Path(), alias, PinSource.from_prompt(alias)))


def _sign(room: Room, subject: str) -> None:
    """What `document.sign` does, with a key of this process and nobody's approval."""
    document = read_document(room.read(description_path(subject)))
    tbs = room.folder.read(document_path(subject))
    signature = room.signer(document.key).sign(tbs, document.algorithm)
    room.write(document.product, document.assemble(tbs, signature))
