"""R14, R21: every route of both doors is on a list that says who may use it, and the list is tried out."""

from __future__ import annotations

import pytest

from ca_server.core.authorization import Role
from ca_server.core.roles import ROLES, Action
from ca_server.publish.services import PublicationServices
from ca_server.rest.routes import ACTIONS
from ca_server.wsgi import PUBLIC, create_publication_app

VERBS = ("DELETE", "GET", "PATCH", "POST", "PUT")
RECORD = "01a400f6-3600-7b30-b1ba-d7122ce25ce7"
PARTS = {
    "certificate_id": "0" * 64,
    "record_id": RECORD,
    "authority_id": "issuing-1",
    "profile_name": "tls-server",
    "key_id": f"eab-{'0' * 32}",
}

# Every route of the API by hand: method, path, action (None: open to everybody). A new route fails until
# somebody adds it here and says who may use it.
ROUTES: set[tuple[str, str, Action | None]] = {
    ("GET", "/aia/<authority_id>.cer", None),
    ("GET", "/api/v1/api-tokens", Action.READ_TOKEN),
    ("POST", "/api/v1/api-tokens", Action.CREATE_TOKEN),
    ("DELETE", "/api/v1/api-tokens/<record_id>", Action.REVOKE_TOKEN),
    ("GET", "/api/v1/audit-events", Action.READ_AUDIT_EVENT),
    ("GET", "/api/v1/authorities", Action.READ_AUTHORITY),
    ("GET", "/api/v1/authorities/<authority_id>", Action.READ_AUTHORITY),
    ("GET", "/api/v1/certificate-requests", Action.READ_REQUEST),
    ("POST", "/api/v1/certificate-requests", Action.REQUEST_CERTIFICATE),
    ("GET", "/api/v1/certificate-requests/<record_id>", Action.READ_REQUEST),
    ("POST", "/api/v1/certificate-requests/<record_id>/approvals", Action.DECIDE_REQUEST),
    ("GET", "/api/v1/certificates", Action.READ_CERTIFICATE),
    ("GET", "/api/v1/certificates/<certificate_id>", Action.READ_CERTIFICATE),
    ("DELETE", "/api/v1/certificates/<certificate_id>/revocation", Action.RELEASE_CERTIFICATE),
    ("POST", "/api/v1/certificates/<certificate_id>/revocation", Action.REVOKE_CERTIFICATE),
    ("GET", "/api/v1/client-grants", Action.READ_GRANT),
    ("POST", "/api/v1/client-grants", Action.CREATE_GRANT),
    ("DELETE", "/api/v1/client-grants/<record_id>", Action.REVOKE_GRANT),
    ("GET", "/api/v1/acme-accounts", Action.READ_ACCOUNT),
    ("GET", "/api/v1/acme-accounts/<record_id>", Action.READ_ACCOUNT),
    ("POST", "/api/v1/acme-accounts/<record_id>/deactivation", Action.DEACTIVATE_ACCOUNT),
    ("POST", "/api/v1/acme-accounts/<record_id>/unpause", Action.UNPAUSE_ACCOUNT),
    ("GET", "/api/v1/acme-orders", Action.READ_ORDER),
    ("GET", "/api/v1/acme-orders/<record_id>", Action.READ_ORDER),
    ("GET", "/api/v1/external-account-keys", Action.READ_EXTERNAL_ACCOUNT_KEY),
    ("POST", "/api/v1/external-account-keys", Action.CREATE_EXTERNAL_ACCOUNT_KEY),
    ("DELETE", "/api/v1/external-account-keys/<key_id>", Action.REVOKE_EXTERNAL_ACCOUNT_KEY),
    ("GET", "/api/v1/enrolment-secrets", Action.READ_ENROLMENT_SECRET),
    ("POST", "/api/v1/enrolment-secrets", Action.CREATE_ENROLMENT_SECRET),
    ("DELETE", "/api/v1/enrolment-secrets/<record_id>", Action.REVOKE_ENROLMENT_SECRET),
    ("GET", "/api/v1/renewal-flags", Action.READ_RENEWAL_FLAG),
    ("POST", "/api/v1/renewal-flags", Action.CREATE_RENEWAL_FLAG),
    ("DELETE", "/api/v1/renewal-flags/<record_id>", Action.END_RENEWAL_FLAG),
    ("GET", "/api/v1/openapi.json", None),
    ("GET", "/api/v1/profiles", Action.READ_PROFILE),
    ("GET", "/api/v1/profiles/<profile_name>", Action.READ_PROFILE),
    ("GET", "/health", None),
    ("GET", "/intermediates.pem", None),
    ("GET", "/livez", None),
    ("GET", "/readyz", None),
    ("GET", "/roots.pem", None),
}

# Who may try what, written out once more by hand, so that a slip in the table in `core.roles` is seen.
ALL = set(Role)
MAY = {
    Action.REQUEST_CERTIFICATE: ALL - {Role.AUDITOR},
    Action.READ_REQUEST: ALL,
    Action.DECIDE_REQUEST: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.READ_CERTIFICATE: ALL,
    Action.REVOKE_CERTIFICATE: ALL - {Role.AUDITOR},
    Action.RELEASE_CERTIFICATE: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.READ_PROFILE: ALL,
    Action.READ_AUTHORITY: ALL,
    Action.READ_AUDIT_EVENT: {Role.ADMINISTRATOR, Role.AUDITOR},
    Action.CREATE_TOKEN: {Role.ADMINISTRATOR},
    Action.READ_TOKEN: {Role.ADMINISTRATOR, Role.AUDITOR},
    Action.REVOKE_TOKEN: {Role.ADMINISTRATOR},
    Action.CREATE_GRANT: {Role.ADMINISTRATOR},
    Action.READ_GRANT: {Role.ADMINISTRATOR, Role.AUDITOR},
    Action.REVOKE_GRANT: {Role.ADMINISTRATOR},
    Action.READ_ORDER: ALL - {Role.REQUESTER},
    Action.READ_ACCOUNT: ALL - {Role.REQUESTER},
    Action.DEACTIVATE_ACCOUNT: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.CREATE_EXTERNAL_ACCOUNT_KEY: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.READ_EXTERNAL_ACCOUNT_KEY: ALL - {Role.REQUESTER},
    Action.REVOKE_EXTERNAL_ACCOUNT_KEY: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.UNPAUSE_ACCOUNT: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.CREATE_ENROLMENT_SECRET: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.READ_ENROLMENT_SECRET: ALL - {Role.REQUESTER},
    Action.REVOKE_ENROLMENT_SECRET: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.CREATE_RENEWAL_FLAG: {Role.ADMINISTRATOR, Role.OFFICER},
    Action.READ_RENEWAL_FLAG: ALL - {Role.REQUESTER},
    Action.END_RENEWAL_FLAG: {Role.ADMINISTRATOR, Role.OFFICER},
}


def routes_of(app):
    return {
        (method, rule.rule, ACTIONS.get(rule.endpoint))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }


def url_of(rule):
    for name, value in PARTS.items():
        rule = rule.replace(f"<{name}>", value)
    return rule


def test_r21_every_route_of_the_api_is_listed(issuing):
    assert routes_of(issuing.api()) == ROUTES


def test_r21_the_actions_of_the_routes_are_all_there_are():
    assert ACTIONS.keys().isdisjoint(PUBLIC)
    assert set(ACTIONS.values()) == set(Action)
    assert {action: set(roles) for action, roles in ROLES.items()} == MAY


def test_r21_an_application_with_an_unlisted_route_does_not_start(issuing):
    from flask import Blueprint

    stray = Blueprint("stray", __name__)
    stray.add_url_rule("/stray", "show", lambda: "hello")
    with pytest.raises(RuntimeError, match=r"stray\.show"):
        create_publication_app(PublicationServices(context=issuing.context, resources=(stray,)))


def test_r21_every_route_for_every_role(issuing):
    """A role that may try gets past the lock, to whatever its empty request deserves; others get 403."""
    client = issuing.api().test_client()
    tokens = {role: issuing.token(role) for role in Role}
    for method, rule, action in sorted(ROUTES, key=str):
        if action is None:
            continue
        for role, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            response = client.open(
                url_of(rule), method=method, headers=headers, json={} if method == "POST" else None
            )
            where = f"{role} {method} {rule}: {response.status_code} {response.get_data(as_text=True)}"
            if role in MAY[action]:
                assert response.status_code in {200, 400, 404}, where
            else:
                assert response.status_code == 403, where
                assert response.get_json()["rule_ids"] == ["ACCESS-ROLE"], where


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer sk_wrong"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"X-SSL-Client-Cert": "x", "X-Client-Verify": "SUCCESS", "X-Forwarded-User": "administrator"},
        {"Client-Cert": ":MAo=:", "X-ARR-ClientCert": "MAo="},
    ],
)
def test_r32_without_proof_every_locked_route_is_401(issuing, headers):
    client = issuing.api().test_client()
    for method, rule, action in ROUTES:
        response = client.open(url_of(rule), method=method, headers=headers)
        if action is None:
            assert response.status_code == 200, rule
        else:
            assert response.status_code == 401, rule
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert response.mimetype == "application/problem+json"


def test_methods_that_a_route_does_not_have_are_405_and_change_nothing(issuing):
    client = issuing.api().test_client()
    token = issuing.token(Role.ADMINISTRATOR)
    listed = {(method, rule) for method, rule, _ in ROUTES}
    for rule in {rule for _, rule in listed}:
        for method in (*VERBS, "OPTIONS", "TRACE", "BREW"):
            if (method, rule) not in listed:
                response = client.open(
                    url_of(rule), method=method, headers={"Authorization": f"Bearer {token}"}
                )
                assert response.status_code == 405, f"{method} {rule}"
                assert response.mimetype == "application/problem+json"


def test_every_answer_has_an_id_and_safe_headers(issuing):
    client = issuing.api().test_client()
    for path in ("/livez", "/api/v1/profiles", "/nowhere"):
        response = client.get(path, headers={"X-Request-Id": "abc-1"}, base_url="https://ca.test")
        assert response.headers["X-Request-Id"] == "abc-1"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Strict-Transport-Security"]
    for hostile in ("x" * 65, "a b", "<script>", "ä"):
        assert client.get("/livez", headers={"X-Request-Id": hostile}).headers["X-Request-Id"] != hostile


def test_both_doors_say_that_they_live(issuing):
    for app in (issuing.api(), issuing.publication()):
        for path in ("/health", "/livez"):
            response = app.test_client().get(path)
            assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["//api//v1//profiles", "/api/v1/profiles/", "/api/v1/%2e%2e/livez", "/api"])
def test_urls_are_not_guessed_at(issuing, path):
    assert issuing.api().test_client().get(path).status_code == 404
