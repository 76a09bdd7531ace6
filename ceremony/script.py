"""The ceremony script: one strict TOML file that says all that happens, in order, and nothing of where.

No path, slot or PIN stands in a script: devices are aliases, which a host file binds (`ceremony.host`), and
neither is the mode, so that a rehearsal and the real ceremony run the same bytes with the same digest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from ca_server.core.ceremony.demands import Role, RoleName
from ca_server.core.document import Strict, parse_document
from ceremony.fields import PlainText, Slug
from ceremony.profiles import APIServer, CRLProfile, Log, Profile, Request
from ceremony.steps import AnyVerb
from ceremony.tables import HSM, Environment, Input, Key, Output, Policy, Publication, RosterPin, ShareSet

MAX_ENTRIES = 64
MAX_STEPS = 200


class Kind(StrEnum):
    """The closed list of ceremonies; `first-hierarchy` does several of them in one event."""

    ROSTER_CHANGE = "roster-change"
    HSM_INIT = "hsm-init"
    ROOT_GENERATE = "root-generate"
    SUBORDINATE_KEY = "subordinate-key"
    INTERMEDIATE_SIGN = "intermediate-sign"
    CROSS_CSR = "cross-csr"
    CROSS_SIGN = "cross-sign"
    ROOT_CRL = "root-crl"
    REVOKE_SUBORDINATE = "revoke-subordinate"
    DELEGATED_SIGNER = "delegated-signer"
    KEY_BACKUP = "key-backup"
    KEY_RESTORE = "key-restore"
    SHARE_AUDIT = "share-audit"
    RE_SHARE = "re-share"
    ROTATE = "rotate"
    DECOMMISSION = "decommission"
    COMPROMISE_RESPONSE = "compromise-response"
    LOG_EPOCH = "log-epoch"
    FIRST_HIERARCHY = "first-hierarchy"


def parse_script(data: bytes) -> Script:
    """The script that these bytes hold; references between its parts are checked by `ceremony.plan`.

    Raises:
        CaError: malformed, one `CEREMONY-…` rule for each bad field.
    """
    return parse_document(data, Script, "script", rule="CEREMONY")


class Script(Strict):
    """A whole script."""

    format: Literal["ceremony/v2"]
    id: Annotated[Slug, Field(min_length=8)]
    title: PlainText
    kind: Annotated[Kind, Field(strict=False)]
    policy: Policy = Policy()
    roster: RosterPin | None = None
    roles: dict[Annotated[RoleName, Field(strict=False)], Role]
    environment: Environment = Environment()
    publication: Publication | None = None
    hsm: Annotated[dict[Slug, HSM], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    keys: Annotated[dict[Slug, Key], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    shares: Annotated[dict[Slug, ShareSet], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    profiles: Annotated[dict[Slug, Profile], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    requests: Annotated[dict[Slug, Request], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    crls: Annotated[dict[Slug, CRLProfile], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    log: Log | None = None
    api_server: APIServer | None = None
    inputs: Annotated[tuple[Input, ...], Field(strict=False, max_length=MAX_ENTRIES)] = ()
    steps: Annotated[tuple[AnyVerb, ...], Field(strict=False, min_length=2, max_length=MAX_STEPS)]
    outputs: Annotated[tuple[Output, ...], Field(strict=False, max_length=MAX_ENTRIES)] = ()
