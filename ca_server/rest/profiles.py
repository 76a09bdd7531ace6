"""`/profiles`: what may be asked for, so that a client can make a CSR that is granted."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from ca_server.core.identifiers import IdentifierType
from ca_server.core.profile import Profile
from ca_server.rest.authenticate import admit
from ca_server.rest.problems import responses
from ca_server.rest.queries import ProfilePath
from ca_server.rest.replies import PREFIX, reply
from ca_server.rest.schemas import NameRulesView, ProfileList, ProfileView
from ca_server.rest.services import services

blueprint = APIBlueprint("profiles", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


@blueprint.get("/profiles", responses={200: ProfileList, **responses()})
def list_profiles() -> Response:
    """Every profile in force, by name."""
    policies = services().policies
    return reply(ProfileList(items=[_view(policies.profile(name)) for name in sorted(policies.names)]))


@blueprint.get("/profiles/<profile_name>", responses={200: ProfileView, **responses(404)})
def show_profile(path: ProfilePath) -> Response:
    """One profile."""
    return reply(_view(services().policies.profile(path.profile_name)))


def _view(profile: Profile) -> ProfileView:
    rules = {kind: profile.names.of_type(kind) for kind in IdentifierType}
    return ProfileView(
        name=profile.name,
        description=profile.description,
        sha256=profile.sha256,
        roles=list(profile.requesters.roles),
        protocols=list(profile.requesters.protocols),
        approvals=profile.requesters.approvals,
        key_types=list(profile.keys.allowed),
        default_validity_seconds=int(profile.validity.default.total_seconds()),
        max_validity_seconds=int(profile.validity.max.total_seconds()),
        names={
            kind: NameRulesView(allow=list(each.allow), deny=list(each.deny), min=each.min, max=each.max)
            for kind, each in rules.items()
            if each is not None
        },
        key_usage=list(profile.extensions.key_usage),
        extended_key_usage=list(profile.extensions.extended_key_usage),
    )
