"""What a ceremony script can ask for: each verb is a model of its fields and what it does in the room."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ceremony.steps.audit import AuditShares
from ceremony.steps.backup import BackUpKey
from ceremony.steps.certificates import BuildCertificate
from ceremony.steps.chains import CheckChain
from ceremony.steps.check import Check
from ceremony.steps.copies import AccountForCopies
from ceremony.steps.crls import BuildCRL
from ceremony.steps.destroy import DestroyKeys, OrderDestruction
from ceremony.steps.environment import VerifyEnvironment
from ceremony.steps.gates import ApproveGate, CloseGate, OpenGate
from ceremony.steps.hsm import Login
from ceremony.steps.incident import FreezeIssuance, ReportIncident
from ceremony.steps.initialise import InitialiseToken
from ceremony.steps.inventory import Inventory
from ceremony.steps.keys import GenerateKey
from ceremony.steps.lint import Lint
from ceremony.steps.media import ExportMedia
from ceremony.steps.reconcile import ReconcileLog
from ceremony.steps.record import Record
from ceremony.steps.renew_secret import RenewSecret
from ceremony.steps.requests import BuildRequest
from ceremony.steps.restore import RestoreKey
from ceremony.steps.roster import ProposeRoster, ProveRoster
from ceremony.steps.server_key import MakeServerKey
from ceremony.steps.sign import Sign
from ceremony.steps.zeroise import ZeroiseToken

AnyVerb = Annotated[
    VerifyEnvironment
    | OpenGate
    | ApproveGate
    | CloseGate
    | Login
    | Inventory
    | GenerateKey
    | BuildCertificate
    | BuildRequest
    | BuildCRL
    | Lint
    | Sign
    | Check
    | CheckChain
    | MakeServerKey
    | Record
    | ExportMedia
    | ProposeRoster
    | ProveRoster
    | InitialiseToken
    | BackUpKey
    | RestoreKey
    | AuditShares
    | RenewSecret
    | OrderDestruction
    | DestroyKeys
    | ZeroiseToken
    | AccountForCopies
    | ReconcileLog
    | FreezeIssuance
    | ReportIncident,
    Field(discriminator="do"),
]
