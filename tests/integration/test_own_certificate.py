"""The server's own certificate, through the real gate: issued when it is due, with its authority."""

from __future__ import annotations

import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_server.own_tls import renew_own_certificate, tls_files
from ca_server.tls import TLSContext

pytestmark = [pytest.mark.hsm, pytest.mark.slow]


def test_it_is_issued_once_for_a_key_and_anew_for_another(appliance, tmp_path):
    key_file = tmp_path / "tls.key"
    shutil.copy(appliance.config.server.tls_key, key_file)
    server = appliance.config.server.model_copy(update={"tls_key": key_file})
    config = appliance.config.model_copy(update={"server": server})
    files = tls_files(config)
    assert renew_own_certificate(config, even_if_not_due=False)
    leaf, above = x509.load_pem_x509_certificates(files.chain.read_bytes())
    leaf.verify_directly_issued_by(above)
    assert renew_own_certificate(config, even_if_not_due=False) is None

    context = TLSContext(files)
    before = context.current()
    key = ec.generate_private_key(ec.SECP256R1())
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert context.current() is before
    issued = renew_own_certificate(config, even_if_not_due=False)
    assert x509.load_der_x509_certificate(issued.der).public_key() == key.public_key()
    assert context.current() is not before
