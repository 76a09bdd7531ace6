"""`/crl/ID.crl` over HTTP and `sealkeeper crl`: the newest CRL, cached sparingly, read by people."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask

from ca_server.cli.crl import command
from ca_server.core.authorization import Principal, Role
from ca_server.core.errors import CaError
from ca_server.publish.crl import crl_blueprint
from ca_server.services.publish_crl import CrlSettings, publish_due_crls
from ca_server.services.published import read_crl
from ca_server.services.revoke import revoke_certificate
from tests.fakes.stored import ISSUING, ROOT

OFFICER = Principal("token:officer", Role.OFFICER, "token")
PATH = f"/crl/{ISSUING}.crl"


def publish(hierarchy) -> bytes:
    publish_due_crls(hierarchy.context, hierarchy.signers, CrlSettings())
    return read_crl(hierarchy.context, ISSUING)[1]


@pytest.fixture
def client(hierarchy):
    app = Flask(__name__)
    app.register_blueprint(crl_blueprint(hierarchy.context))

    @app.errorhandler(CaError)
    def refused(error: CaError):
        return error.detail, {"not_found": 404}[error.kind]

    return app.test_client()


def test_the_newest_crl_is_served_as_it_was_signed(hierarchy, client, clock):
    publish(hierarchy)
    leaf = hierarchy.issue()
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "superseded")
    clock.advance(seconds=1)
    der = publish(hierarchy)
    answer = client.get(PATH)
    assert (answer.status_code, answer.data) == (200, der)
    assert answer.content_type == "application/pkix-crl"
    assert answer.headers["Cache-Control"] == "public, max-age=60, must-revalidate"
    assert answer.last_modified == clock.now()
    assert x509.load_der_x509_crl(answer.data)[0].serial_number == leaf.certificate.serial_number


def test_who_has_the_newest_gets_no_bytes(hierarchy, client, clock):
    publish(hierarchy)
    first = client.get(PATH)
    for headers in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        again = client.get(PATH, headers=headers)
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    clock.advance(hours=1)
    publish(hierarchy)
    changed = client.get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_head_has_the_headers_alone(hierarchy, client):
    publish(hierarchy)
    answer = client.head(PATH)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.content_length == len(read_crl(hierarchy.context, ISSUING)[1])


def test_a_crl_is_not_kept_past_its_end(hierarchy, client, clock):
    publish(hierarchy)
    clock.advance(hours=24, seconds=-20)
    assert "max-age=20," in client.get(PATH).headers["Cache-Control"]
    clock.advance(hours=1)
    assert "max-age=0," in client.get(PATH).headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [PATH, f"/crl/{ROOT}.crl", "/crl/nobody.crl", "/crl/%00.crl", "/crl/..%2f..%2fetc.crl", "/crl/a'--.crl"],
)
def test_what_was_never_published_is_not_found(hierarchy, client, path):
    assert client.get(path).status_code == 404


def show(*arguments: str, data: bytes | None = None):
    return CliRunner().invoke(command, ["show", *arguments], input=data, catch_exceptions=True)


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_people_can_read_a_crl(hierarchy, clock, tmp_path, encoding):
    leaf = hierarchy.issue()
    lost = clock.now() - timedelta(days=1)
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "keyCompromise", lost)
    crl = x509.load_der_x509_crl(publish(hierarchy))
    path = tmp_path / "issuing.crl"
    path.write_bytes(crl.public_bytes(encoding))
    told = show(str(path))
    assert told.exit_code == 0
    for word in (leaf.serial_number, "keyCompromise", "2027-03-01T12:00:00Z", "2027-02-28T12:00:00Z"):
        assert word in told.stdout
    piped = show("--json", data=path.read_bytes())
    assert json.loads(piped.stdout) == {
        "issuer": f"CN={ISSUING}",
        "crl_number": 1,
        "this_update": "2027-03-01T12:00:00Z",
        "next_update": "2027-03-02T12:00:00Z",
        "revoked": 1,
        "entries": [
            {
                "serial_number": leaf.serial_number,
                "revoked_at": "2027-03-01T12:00:00Z",
                "reason": "keyCompromise",
                "invalidity_date": "2027-02-28T12:00:00Z",
            }
        ],
    }


def test_a_long_crl_is_cut_unless_asked_for_whole(hierarchy, tmp_path):
    leaves = [hierarchy.issue(f"w{number}.example.test") for number in range(23)]
    for leaf in leaves:
        revoke_certificate(hierarchy.context, OFFICER, leaf.id, "unspecified")
    path = tmp_path / "issuing.crl"
    path.write_bytes(publish(hierarchy))
    short, whole = show(str(path)), show("--all", str(path))
    assert short.stdout.count("unspecified") == 20
    assert "3 more" in short.stderr
    assert all(leaf.serial_number in whole.stdout for leaf in leaves)


def test_what_is_no_crl_is_told_plainly(tmp_path):
    for source in ("/nowhere/at/all.crl", "http://127.0.0.1:1/x.crl", "-"):
        refused = show(source, data=b"no CRL")
        assert isinstance(refused.exception, CaError)
        assert refused.stdout == ""
