"""The directory, and nonces for whoever has none yet (RFC 8555 §7.1.1, §7.2)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from ca_server.acme.replies import empty_reply, reply
from ca_server.acme.services import services
from ca_server.acme.urls import ROOT, acme_profile, directory
from ca_server.core.acme.coverage import BY_DNS
from ca_server.core.acme.resources import ChallengeType

blueprint = Blueprint("directory", __name__, url_prefix=ROOT)


@blueprint.get("/directory")
def show_directory() -> Response:
    """Where everything is."""
    known = directory()
    return reply(
        {
            "newNonce": known.url("new-nonce"),
            "newAccount": known.url("new-account"),
            "newOrder": known.url("new-order"),
            "newAuthz": known.url("new-authz"),
            "revokeCert": known.url("revoke-cert"),
            "keyChange": known.url("key-change"),
            "renewalInfo": known.url("renewal-info"),
            "meta": _meta(),
        }
    )


@blueprint.get("/new-nonce")
def new_nonce() -> Response:
    """Nothing but the nonce that every answer has; without one this is a failure."""
    services().nonces.issue()
    return empty_reply(200 if request.method == "HEAD" else 204)


def _meta() -> dict[str, Any]:
    held, known = services(), directory()
    meta: dict[str, Any] = {
        "caaIdentities": list(held.settings.caa_identities),
        "externalAccountRequired": known.profile.acme.external_account_required,
        "profiles": {
            each.name: each.description
            for name in sorted(held.policies.names)
            if (each := acme_profile(held.policies, name)) is not None
        },
    }
    if held.settings.terms_of_service is not None:
        meta["termsOfService"] = held.settings.terms_of_service
    if held.settings.website is not None:
        meta["website"] = held.settings.website
    if not set(BY_DNS).isdisjoint(known.profile.acme.challenges):
        # What proves a name with all below it (RFC 9444 §5).
        meta["subdomainAuthAllowed"] = True
    if ChallengeType.DNS_PERSIST_01 in known.profile.acme.challenges:
        meta["accountHashPrefix"] = known.url("account-hash", "")
    return meta
