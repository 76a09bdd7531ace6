"""What everybody may fetch: chains, health and metrics, over plain HTTP and without proof."""

from __future__ import annotations

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.authorization import Role
from ca_server.core.errors import CaError, Kind
from ca_server.publish.services import PublicationServices
from ca_server.wsgi import create_api_app, create_publication_app


@pytest.fixture(params=["api", "publication"])
def http(request, issuing):
    return getattr(issuing, request.param)().test_client()


def test_roots_and_intermediates(issuing, http):
    assert x509.load_pem_x509_certificates(http.get("/roots.pem").data) == [issuing.root]
    assert x509.load_pem_x509_certificates(http.get("/intermediates.pem").data) == [issuing.issuer]


def test_an_issuer_is_where_certificates_say(issuing, http):
    leaf = x509.load_der_x509_certificate(issuing.issue("a.example.com").der)
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    urls = [
        each.access_location.value
        for each in access
        if each.access_method == x509.oid.AuthorityInformationAccessOID.CA_ISSUERS
    ]
    response = http.get(urls[0].removeprefix("http://ca.test:8080"))
    assert response.mimetype == "application/pkix-cert"
    assert response.data == issuing.issuer.public_bytes(Encoding.DER)
    again = http.get("/aia/issuing-1.cer", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert "max-age" in response.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["nobody", "%00", "..%2f", "x" * 5000, "issuing-1%00"])
def test_an_unknown_issuer_is_not_found(http, name):
    assert http.get(f"/aia/{name}.cer").status_code == 404


def passing():
    return None


def failing():
    raise CaError(Kind.UNAVAILABLE, "the HSM does not sign at the moment")


def broken():
    raise KeyError("a secret word")


@pytest.mark.parametrize("door", ["api", "publication"])
def test_readiness_is_all_checks_together(issuing, door):
    def app_with(**checks):
        services = PublicationServices(context=issuing.context, checks=checks)
        if door == "api":
            return create_api_app(issuing.rest(), services).test_client()
        return create_publication_app(services).test_client()

    ready = app_with(database=passing, hsm=passing)
    assert ready.get("/readyz").get_json() == {"status": "ok"}
    assert ready.get("/readyz?verbose").get_json()["checks"] == {"database": "ok", "hsm": "ok"}
    sealed = app_with(database=passing, hsm=failing, log=broken)
    response = sealed.get("/readyz?verbose")
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert response.get_json()["checks"] == {
        "database": "ok",
        "hsm": "the HSM does not sign at the moment",
        "log": "the check itself failed; the log has the cause",
    }
    assert sealed.get("/readyz").get_json() == {"status": "unavailable"}
    assert sealed.get("/livez").status_code == 200


def sample(text, name):
    """The value of the first sample whose name and labels match."""
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    assert found, f"{name} is not in\n{text}"
    return float(found[1])


def test_metrics_count_what_happened_and_name_our_own_certificates(issuing):
    api = issuing.api().test_client()
    publication = issuing.publication().test_client()
    before = publication.get("/metrics").get_data(as_text=True)
    assert api.get("/api/v1/profiles").status_code == 401
    token = issuing.token(Role.AUDITOR)
    assert api.get("/api/v1/profiles", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    after = publication.get("/metrics").get_data(as_text=True)
    refused = 'sealkeeper_access_refused_total{rule_id="ACCESS-CREDENTIALS"}'
    count = float(re.search(rf"^{re.escape(refused)} (\S+)$", after, re.MULTILINE)[1])
    earlier = re.search(rf"^{re.escape(refused)} (\S+)$", before, re.MULTILINE)
    assert count == (float(earlier[1]) if earlier else 0) + 1
    end = issuing.root.not_valid_after_utc.timestamp()
    assert sample(after, "x509_cert_not_after") == end
    assert 'subject_CN="Test Issuing"' in after
    assert f'serial_number="{issuing.issuer.serial_number}"' in after
    assert 'filepath="inventory/authority/issuing-1"' in after
    assert sample(after, "x509_source_up") == 1
    assert sample(after, "sealkeeper_build_info") == 1


def test_labels_are_closed_lists(issuing):
    """What a client makes up is no label: neither a path, nor a method, nor a profile."""
    api = issuing.api().test_client()
    token = {"Authorization": f"Bearer {issuing.token(Role.ADMINISTRATOR)}"}
    api.get("/zzyzx-path")
    api.open("/api/v1/profiles", method="ZZYZX")
    api.get("/api/v1/profiles/zzyzx", headers=token)
    text = issuing.publication().test_client().get("/metrics").get_data(as_text=True)
    assert "zzyzx" not in text.lower()
    assert 'route="unmatched"' in text


def test_the_publication_door_has_nothing_behind_a_lock(issuing):
    http = issuing.publication().test_client()
    assert http.get("/api/v1/profiles").status_code == 404
    assert {rule.methods - {"HEAD"} == {"GET"} for rule in issuing.publication().url_map.iter_rules()} == {
        True
    }
