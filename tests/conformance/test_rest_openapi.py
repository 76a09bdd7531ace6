"""The OpenAPI document is true: what schemathesis makes of it is answered as it says, never with a 5xx."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from ca_server.core.authorization import Role
from ca_server.rest.routes import ACTIONS

load_all_checks()
NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


def load(issuing):
    """The document with its application, something to be found in it, and the headers of somebody who may."""
    issued = issuing.issue("www.example.com")
    issuing.issue("client.example.com", profile="tls-client")
    app = issuing.api()
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    headers = {"Authorization": f"Bearer {issuing.token(Role.ADMINISTRATOR)}"}
    return schema, headers, issued


def operations_of(schema):
    return [result.ok() for result in schema.get_all_operations()]


@pytest.mark.parametrize("mode", GenerationMode)
def test_what_the_document_says_is_what_happens(issuing, mode):
    schema, headers, _ = load(issuing)
    checks = CHECKS.get_by_names(NAMES)
    for operation in operations_of(schema):
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue

        @settings(
            max_examples=15,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def conforms(case):
            case.call_and_validate(headers=headers, checks=checks)

        conforms()


def test_the_document_lists_every_operation_and_no_other(issuing):
    schema, _, _ = load(issuing)
    listed = {(operation.method.upper(), operation.path) for operation in operations_of(schema)}
    routes = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in issuing.api().url_map.iter_rules()
        if rule.endpoint in ACTIONS
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert listed == routes


def test_real_answers_fit_the_document(issuing):
    """Generated ids find nothing, so the answers about things that exist are checked here."""
    schema, headers, issued = load(issuing)
    for path, values in (
        ("/api/v1/certificates/{certificate_id}", {"certificate_id": issued.certificate_id}),
        ("/api/v1/certificate-requests/{record_id}", {"record_id": issued.request_id}),
        ("/api/v1/profiles/{profile_name}", {"profile_name": "tls-server"}),
        ("/api/v1/authorities/{authority_id}", {"authority_id": "issuing-1"}),
        ("/api/v1/certificates", {}),
        ("/api/v1/certificate-requests", {}),
        ("/api/v1/audit-events", {}),
        ("/api/v1/api-tokens", {}),
    ):
        case = schema[path]["GET"].Case(path_parameters=values)
        response = case.call(headers=headers)
        assert response.status_code == 200, response.text
        case.validate_response(response, checks=CHECKS.get_by_names(NAMES[:-1]))
    revocation = schema["/api/v1/certificates/{certificate_id}/revocation"]
    for method, body, status in (
        ("POST", {"reason": "certificateHold"}, 200),
        ("DELETE", None, 204),
        ("DELETE", None, 409),
    ):
        given_body = {} if body is None else {"body": body, "media_type": "application/json"}
        case = revocation[method].Case(
            path_parameters={"certificate_id": issued.certificate_id}, **given_body
        )
        response = case.call(headers=headers)
        assert response.status_code == status, response.text
        case.validate_response(response, checks=CHECKS.get_by_names(NAMES[:-1]))
