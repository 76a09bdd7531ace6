"""Whole processes in either TLS set-up: a client certificate from its grant to its revocation."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_server.config import load_config
from ca_server.core.errors import CaError, Kind
from ca_server.doors import api_door
from tests.fixtures.https import self_signed
from tests.fixtures.issuing import make_csr
from tests.fixtures.nginx import USER, move_behind

pytestmark = [pytest.mark.hsm, pytest.mark.slow]
PATH = "/api/v1/certificates"
# Without root there is no other user to be: ours is the proxy's, and believed.
BACK_DOOR = ["ACCESS-PROXY-HEADER"] if os.geteuid() == 0 else None


@pytest.fixture
def machine(running_either, tmp_path):
    """A client certificate whose key may read certificates: its id and its files."""
    key = ec.generate_private_key(ec.SECP256R1())
    wanted = {"profile": "tls-client", "csr": make_csr(key, "client.example.com")}
    issued = running_either.ask("POST", "/certificate-requests", wanted).body["certificate"]
    grant = {"name": "machine", "role": "auditor", "certificate": issued["pem_chain"]}
    assert running_either.ask("POST", "/client-grants", grant, role="administrator").status == 201
    paths = (tmp_path / "machine.pem", tmp_path / "machine.key")
    paths[0].write_text(issued["pem_chain"])
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return issued["id"], paths


def get(running, pair=None, **headers):
    """Status and rules of what somebody without a token gets."""
    context = ssl.create_default_context(cafile=str(running.layout.roots))
    if pair is not None:
        context.load_cert_chain(*pair)
    port = running.layout.options.https_port
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", PATH, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()).get("rule_ids")


def rules_written_down(running):
    page = running.ask("GET", "/audit-events?kind=access.refused", role="auditor").body
    return {rule for each in page["items"] for rule in each["leaf"]["data"]["rule_ids"]}


def header_of(pair):
    der = x509.load_pem_x509_certificate(pair[0].read_bytes()).public_bytes(Encoding.DER)
    return f":{base64.b64encode(der).decode()}:"


def test_r13_r32_a_client_certificate_from_grant_to_revocation(running_either, machine, tmp_path):
    certificate_id, pair = machine
    is_direct = not running_either.appliance.config.server.is_behind_proxy
    assert get(running_either, pair)[0] == 200
    assert get(running_either) == (401, ["ACCESS-CREDENTIALS"])
    assert get(running_either, self_signed(tmp_path)) == (401, ["ACCESS-CERT-UNKNOWN"])

    forged = {"Client-Cert": header_of(pair)}
    rule = "ACCESS-PROXY-HEADER" if is_direct else "ACCESS-CREDENTIALS"
    assert get(running_either, **forged) == (401, [rule])
    # Both servers drop a name with an underscore, which WSGI could not tell from one with a hyphen.
    assert get(running_either, Client_Cert=header_of(pair)) == (401, ["ACCESS-CREDENTIALS"])
    if not is_direct:
        assert by_the_back_door(running_either, forged) == BACK_DOOR
        if os.geteuid() == 0:
            # One who is not even in the proxy's group does not get through the door.
            with pytest.raises(subprocess.CalledProcessError):
                by_the_back_door(running_either, {}, group="nogroup")

    revocation = {"reason": "superseded"}
    path = f"/certificates/{certificate_id}/revocation"
    assert running_either.ask("POST", path, revocation, role="officer").status == 200
    assert get(running_either, pair) == (401, ["ACCESS-CERT-REVOKED"])
    expected = {"ACCESS-CREDENTIALS", "ACCESS-CERT-UNKNOWN", "ACCESS-CERT-REVOKED", rule}
    assert expected <= rules_written_down(running_either)


def by_the_back_door(running, headers, group=USER):
    """Rules of what somebody on this machine gets at the proxy's socket, without the proxy."""
    socket = running.appliance.config.server.https.removeprefix("unix:")
    fields = [f"{name}: {value}" for name, value in headers.items()]
    done = subprocess.run(
        ["curl", "-s", "--unix-socket", socket, *(f"-H{each}" for each in fields), f"http://localhost{PATH}"],
        capture_output=True,
        check=True,
        timeout=60,
        **({"user": "nobody", "group": group, "extra_groups": []} if os.geteuid() == 0 else {}),
    )
    return json.loads(done.stdout).get("rule_ids")


def test_a_proxy_user_that_does_not_exist_keeps_the_door_shut(appliance, tmp_path):
    moved = move_behind(appliance, tmp_path / "https.sock")
    text = moved.config_file.read_text()
    lines = [
        'proxy_user = "nobody-of-this-name"' if line.startswith("proxy_user") else line
        for line in text.splitlines()
    ]
    moved.config_file.write_text("\n".join(lines))
    with pytest.raises(CaError, match="no user nobody-of-this-name") as caught:
        api_door(load_config(moved.config_file))
    assert caught.value.kind is Kind.NOT_FOUND
