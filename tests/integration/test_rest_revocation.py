"""R4: revoking needs a right over that very certificate; tried for every actor and object."""

from __future__ import annotations

import pytest

from ca_server.core.authorization import Principal, Role
from tests import world


@pytest.fixture
def actors(issuing):
    """A client for each actor, and a certificate of each requester and of nobody who logs in."""
    secrets = {
        "owner": issuing.token(Role.REQUESTER),
        "stranger": issuing.token(Role.REQUESTER),
        "officer": issuing.token(Role.OFFICER),
        "administrator": issuing.token(Role.ADMINISTRATOR),
        "auditor": issuing.token(Role.AUDITOR),
    }
    http = issuing.api().test_client()

    class Actor:
        def __init__(self, secret):
            self.headers = {"Authorization": f"Bearer {secret}"}

        def revoke(self, certificate_id, reason="superseded", **more):
            return http.post(
                f"/api/v1/certificates/{certificate_id}/revocation",
                json={"reason": reason, **more},
                headers=self.headers,
            )

        def release(self, certificate_id):
            return http.delete(f"/api/v1/certificates/{certificate_id}/revocation", headers=self.headers)

        def id(self):
            from ca_server.services.access import authenticate_token

            return authenticate_token(issuing.context, self.headers["Authorization"].split()[1]).id

    return {name: Actor(secret) for name, secret in secrets.items()}


def owned_by(issuing, actor, name):
    principal = Principal(actor.id(), Role.REQUESTER, "token", ("*",), ("*",))
    return issuing.issue(name, principal=principal).certificate_id


@pytest.mark.parametrize("actor", ["owner", "stranger", "officer", "administrator", "auditor", None])
@pytest.mark.parametrize("held", [False, True])
def test_r4_revoking_and_releasing_for_every_actor(issuing, actors, actor, held):
    """Owner: revokes its own, no release. Stranger: it is not there. Auditor: nothing. Officers: both."""
    certificate_id = owned_by(issuing, actors["owner"], "a.example.com")
    if held:
        assert actors["officer"].revoke(certificate_id, "certificateHold").status_code == 200
    if actor is None:
        http = issuing.api().test_client()
        path = f"/api/v1/certificates/{certificate_id}/revocation"
        assert http.post(path, json={"reason": "superseded"}).status_code == 401
        assert http.delete(path).status_code == 401
        assert actors["officer"].release(certificate_id).status_code == (204 if held else 409)
        return
    released = actors[actor].release(certificate_id).status_code
    may_release = actor in {"officer", "administrator"}
    assert released == ((204 if held else 409) if may_release else 403)
    revoked = actors[actor].revoke(certificate_id).status_code
    assert revoked == {"stranger": 404, "auditor": 403}.get(actor, 200)
    world.check(issuing.context.database)


def test_r4_the_right_over_one_certificate_is_none_over_another(issuing, actors):
    mine = owned_by(issuing, actors["owner"], "a.example.com")
    theirs = owned_by(issuing, actors["stranger"], "b.example.com")
    foreign, unknown = actors["owner"].revoke(theirs), actors["owner"].revoke("0" * 64)
    assert foreign.status_code == unknown.status_code == 404
    assert {**foreign.get_json(), "request_id": ""} == {**unknown.get_json(), "request_id": ""}
    assert actors["owner"].revoke(mine).status_code == 200
    assert actors["owner"].revoke(mine).status_code == 409
    assert actors["stranger"].revoke(theirs).status_code == 200


@pytest.mark.parametrize("certificate_id", ["0" * 64, "issuer"])
def test_what_is_not_ours_to_revoke_is_refused(issuing, actors, certificate_id):
    from cryptography.hazmat.primitives import hashes

    if certificate_id == "issuer":
        certificate_id = issuing.issuer.fingerprint(hashes.SHA256()).hex()
        assert actors["administrator"].revoke(certificate_id).status_code == 403
    else:
        assert actors["administrator"].revoke(certificate_id).status_code == 404


@pytest.mark.parametrize("reason", ["", "nonsense", "removeFromCRL", "keycompromise", "' OR 1=1"])
def test_a_reason_is_one_of_rfc_5280(issuing, actors, reason):
    certificate_id = owned_by(issuing, actors["owner"], "a.example.com")
    response = actors["officer"].revoke(certificate_id, reason)
    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"


def test_the_answer_says_what_was_done(issuing, actors):
    certificate_id = owned_by(issuing, actors["owner"], "a.example.com")
    body = (
        actors["owner"]
        .revoke(certificate_id, "keyCompromise", invalidity_date="2027-02-28T00:00:00Z")
        .get_json()
    )
    assert body == {
        "certificate_id": certificate_id,
        "serial_number": body["serial_number"],
        "status": "revoked",
        "revoked_at": "2027-03-01T12:00:00Z",
        "reason": "keyCompromise",
    }
