"""Keys that the server made, as a client asks for them and opens them: by openssl, layer by layer."""

from __future__ import annotations

from email.parser import BytesParser
from pathlib import Path
from typing import ClassVar

from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5958

from tests.conformance.est.clients.client import Pair, Secret, Wish
from tests.conformance.est.clients.curl import Answer, Curl
from tests.fixtures.commands import run

SYMMETRIC, ASYMMETRIC = "1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54"


class _Values(core.SetOf):
    _child_spec = core.OctetString


class _KeyName(core.Sequence):
    """DecryptKeyIdentifier or AsymmetricDecryptKeyIdentifier (RFC 4108 §2.2.5, RFC 7030 §4.4.1.2)."""

    _fields: ClassVar = [("type", core.ObjectIdentifier), ("values", _Values)]


class _Attributes(core.SetOf):
    _child_spec = core.Any


class _Info(core.Sequence):
    _fields: ClassVar = [
        ("version", core.Integer),
        ("subject", core.Any),
        ("key", core.Any),
        ("attributes", _Attributes, {"implicit": 0}),
    ]


class _Request(core.Sequence):
    """A CSR (RFC 2986 §4.2), read no further than is needed to put one attribute more into it."""

    _fields: ClassVar = [("info", _Info), ("algorithm", core.Any), ("signature", core.OctetBitString)]


def name_key(wish: Wish, attribute: str, value: bytes) -> None:
    """Put into a CSR by which key the new one is to be protected; openssl writes no octet strings there."""
    old = _Request.load(x509.load_pem_x509_csr(wish.csr.read_bytes()).public_bytes(Encoding.DER))
    named = core.Any(_KeyName({"type": attribute, "values": [value]}))
    info = _Info(
        {
            "version": 0,
            "subject": old["info"]["subject"],
            "key": old["info"]["key"],
            "attributes": [*old["info"]["attributes"], named],
        }
    )
    key = load_pem_private_key(wish.pair.key.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(info.dump(), ec.ECDSA(hashes.SHA256()))
    made = _Request({"info": info, "algorithm": old["algorithm"], "signature": signature})
    wish.csr.write_bytes(x509.load_der_x509_csr(made.dump()).public_bytes(Encoding.PEM))


def parts_of(answer: Answer) -> tuple[tuple[str, bytes], bytes]:
    """Media type and content of the key's part, and the content of the certificate's."""
    body = answer.require("multipart/mixed")
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    key, certificate = BytesParser().parsebytes(head + body).get_payload()
    for part in (key, certificate):
        assert part["Content-Transfer-Encoding"] == "base64"
    assert certificate.get_content_type() == "application/pkcs7-mime"
    return (key.get_content_type(), key.get_payload(decode=True)), certificate.get_payload().encode()


class Opener:
    """Opens what the server sealed, by openssl, in a folder of its own."""

    def __init__(self, folder: Path, roots: Path, issuing: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._roots, self._issuing = roots, issuing

    def by_secret(self, sealed: bytes, secret: Secret) -> bytes:
        """The key in an EnvelopedData for a key that was derived from a secret (RFC 5869)."""
        options = ("digest:SHA256", f"key:{secret.password}", "info:sealkeeper est server key")
        given = [word for option in options for word in ("-kdfopt", option)]
        key = run("openssl", "kdf", "-keylen", "32", *given, "HKDF").stdout.strip().replace(":", "")
        identifier = secret.username.encode().hex()
        return self._open(sealed, "-secretkey", key, "-secretkeyid", identifier)

    def by_pair(self, sealed: bytes, pair: Pair) -> bytes:
        """The key in an EnvelopedData for a client certificate's own key."""
        return self._open(sealed, "-inkey", str(pair.key), "-recip", str(pair.certificate))

    def _open(self, sealed: bytes, *options: str) -> bytes:
        signed = self._cms(sealed, "-decrypt", *options)
        # The content of an EnvelopedData has no ContentInfo around it (RFC 5652 §3); openssl wants one.
        message = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData.load(signed)})
        trust = ("-CAfile", str(self._roots), "-certfile", str(self._issuing), "-purpose", "any")
        package, rest = decode(
            self._cms(message.dump(), "-verify", *trust), asn1Spec=rfc5958.AsymmetricKeyPackage()
        )
        assert (len(package), rest) == (1, b"")
        return bytes(encode(package[0]))

    def _cms(self, message: bytes, *options: str) -> bytes:
        given, found = self._folder / "message", self._folder / "inside"
        given.write_bytes(message)
        run("openssl", "cms", *options, "-inform", "DER", "-in", str(given), "-out", str(found), "-binary")
        return found.read_bytes()


def store_key(client: Curl, wish: Wish, pkcs8: bytes, encoded: bytes) -> Pair:
    """Keep a key and its certificate as files."""
    der = wish.pair.key.with_suffix(".der")
    der.write_bytes(pkcs8)
    run("openssl", "pkey", "-inform", "DER", "-in", str(der), "-out", str(wish.pair.key))
    [leaf] = client.certificates_in(encoded)
    wish.pair.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    return wish.pair
