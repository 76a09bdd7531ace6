"""OpenSSL beyond Python's ssl: any key may be proven, both ends bind alike, and no session lives on."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ca_server import tls_native
from ca_server.core.errors import CaError, Kind
from ca_server.tls import TLSContext, TLSFiles
from tests.fixtures.https import self_signed


@pytest.fixture
def files(tmp_path):
    return TLSFiles(*self_signed(tmp_path))


@pytest.fixture
def stranger(tmp_path):
    """A certificate that nobody ever heard of, for servers at that, and its key."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    return self_signed(folder)


class Serving:
    """Accepts connections one after another, and keeps what was known of each."""

    def __init__(self, files):
        self.context = TLSContext(files).current()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.certificates, self.bindings, self.reused = [], [], []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            plain, _ = self.listener.accept()
            try:
                connection = self.context.wrap_socket(plain, server_side=True)
            except OSError:
                plain.close()
                continue
            with connection:
                if connection.recv(1) == b"q":
                    return
                self.certificates.append(connection.getpeercert(binary_form=True))
                self.bindings.append(tls_native.channel_binding(connection))
                self.reused.append(connection.session_reused)
                connection.sendall(b"done\n")

    def stop(self):
        with self.dial(client_context()) as connection:
            connection.sendall(b"q")
        self.thread.join()
        self.listener.close()

    def dial(self, context, session=None):
        plain = socket.create_connection(("127.0.0.1", self.port), 10)
        return context.wrap_socket(plain, session=session)


def client_context(version=None, pair=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if pair is not None:
        context.load_cert_chain(*pair)
    return context


@pytest.fixture
def serving(files):
    found = Serving(files)
    yield found
    found.stop()


VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
each_version = pytest.mark.parametrize("version", VERSIONS)


def ask(connection):
    connection.sendall(b"?")
    assert connection.recv(10) == b"done\n"


@each_version
def test_whoever_holds_a_key_gets_in_with_its_certificate(serving, stranger, version):
    with serving.dial(client_context(version, stranger)) as connection:
        ask(connection)
    der = x509.load_pem_x509_certificate(stranger[0].read_bytes()).public_bytes(Encoding.DER)
    assert serving.certificates == [der]


@each_version
def test_without_a_certificate_a_client_gets_in_as_well(serving, version):
    with serving.dial(client_context(version)) as connection:
        ask(connection)
    assert serving.certificates == [None]


@each_version
def test_a_certificate_without_its_key_gets_nobody_in(serving, stranger, files, tmp_path, version):
    """The thief's key file says the public key of the stolen certificate, and signs with another."""
    own = load_pem_private_key(files.key.read_bytes(), None)
    stolen = load_pem_private_key(stranger[1].read_bytes(), None)
    sec1 = own.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    point, other = (
        each.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        for each in (own, stolen)
    )
    assert point in sec1
    key = tmp_path / "thief.key"
    key.write_text(
        ssl.DER_cert_to_PEM_cert(sec1.replace(point, other)).replace("CERTIFICATE", "EC PRIVATE KEY")
    )
    thief = client_context(version, (stranger[0], key))
    with pytest.raises((ssl.SSLError, ConnectionResetError)), serving.dial(thief) as connection:
        ask(connection)
    assert serving.certificates == []


def test_the_binding_of_tls_1_3_is_the_one_that_openssl_computes(serving):
    """RFC 9266, held against the client of the openssl command."""
    client = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{serving.port}", "-tls1_3", "-ign_eof"),
            *("-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"),
        ],
        input=b"?",
        capture_output=True,
        timeout=30,
        check=False,
    )
    [exported] = re.findall(rb"Keying material: ([0-9A-F]{64})", client.stdout)
    assert serving.bindings == [bytes.fromhex(exported.decode())]


def test_the_binding_of_tls_1_2_is_the_one_that_the_client_computes(serving):
    with serving.dial(client_context(ssl.TLSVersion.TLSv1_2)) as connection:
        ask(connection)
        assert serving.bindings == [connection.get_channel_binding("tls-unique")]


@each_version
def test_every_connection_has_a_binding_of_its_own(serving, version):
    for _ in range(2):
        with serving.dial(client_context(version)) as connection:
            ask(connection)
    assert len(set(serving.bindings)) == 2
    assert None not in serving.bindings


def test_a_connection_that_is_over_has_no_binding(serving):
    connection = serving.dial(client_context())
    connection.close()
    assert tls_native.channel_binding(connection) is None


@each_version
def test_no_session_is_resumed(serving, stranger, version):
    context = client_context(version, stranger)
    with serving.dial(context) as connection:
        ask(connection)
        session = connection.session
    with serving.dial(context, session) as connection:
        ask(connection)
        assert not connection.session_reused
    assert serving.reused == [False, False]


def test_this_python_can_serve_it(files):
    tls_native.require_native_tls(files.chain, files.key)


def test_files_that_do_not_fit_are_told_before_a_door_opens(files, stranger):
    with pytest.raises(CaError, match="KEY_VALUES_MISMATCH") as caught:
        tls_native.require_native_tls(files.chain, stranger[1])
    assert caught.value.kind is Kind.UNAVAILABLE


def test_a_python_with_another_layout_is_found_out_by_a_process_that_may_die(files, tmp_path, monkeypatch):
    """Its pointers are looked for where something else is."""
    python = tmp_path / "python"
    program = (
        "import sys, ca_server.tls_native as native\n"
        "native._CONTEXT_PLACE = 0\n"
        "native._prove(*sys.argv[1:])\n"
    )
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' $3 $4\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(CaError, match=r"TLS cannot be served by this Python \(signal \d+\)") as caught:
        tls_native.require_native_tls(files.chain, files.key)
    assert caught.value.kind is Kind.UNAVAILABLE
