"""What a ceremony script can ask for: each verb is a model of its fields and what it does in the room."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ceremony.steps.certificates import BuildCertificate
from ceremony.steps.check import Check
from ceremony.steps.crls import BuildCRL
from ceremony.steps.gates import ApproveGate, CloseGate, OpenGate
from ceremony.steps.hsm import Inventory, Login
from ceremony.steps.keys import GenerateKey
from ceremony.steps.lint import Lint
from ceremony.steps.server_key import MakeServerKey
from ceremony.steps.sign import Sign

AnyVerb = Annotated[
    OpenGate
    | ApproveGate
    | CloseGate
    | Login
    | Inventory
    | GenerateKey
    | BuildCertificate
    | BuildCRL
    | Lint
    | Sign
    | Check
    | MakeServerKey,
    Field(discriminator="do"),
]
