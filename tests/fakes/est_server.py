"""An EST server of the tests' own, for what a real one does on its bad days; it issues with throw-away keys.

Like ours it spends a one-time secret with the certificate and gives the same CSR the same certificate again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from ca_server.compose import SystemClock

EPOCH, DOOMSDAY = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which does not see the clock that a test moves.
NO_CHECK_TIME = 0x200000
PATH = "/.well-known/est/host"
SECRET = ("est-1", "sk_correct-horse")


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Authority:
    """A CA's key and certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def certify(self, key: Any, subject: x509.Name, *, ca: bool = True) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(EPOCH)
            .not_valid_after(DOOMSDAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self.key, hashes.SHA256())

    def authority(self, text: str) -> Authority:
        """An authority below this one."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Authority(key, self.sign(self.certify(key.public_key(), name_of(text))))

    def cross(self, other: Authority) -> x509.Certificate:
        """Another authority's key and name, signed by this one."""
        return self.sign(self.certify(other.key.public_key(), other.certificate.subject))


def root_authority(text: str = "Test Root", *, until: datetime = DOOMSDAY) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(text))
        .issuer_name(name_of(text))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(EPOCH)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return Authority(key, builder.sign(key, hashes.SHA256()))


@dataclass(frozen=True)
class Reply:
    """What the next exchange gets instead of what it asked for."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "text/plain; charset=utf-8"


@dataclass
class EstServer:
    """`replies` come first, one a POST; `asked` are the paths of all exchanges, in order."""

    folder: Path
    root: Authority = field(default_factory=root_authority)
    replies: list[Reply] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    issued: dict[str, x509.Certificate] = field(default_factory=dict)
    uses: int = 1
    life: timedelta = timedelta(days=30)
    # Certificates begin now, by the clock that clients read.
    begins: Callable[[], datetime] = SystemClock().now
    port: int = 0

    def __post_init__(self) -> None:
        self.issuing = self.root.authority("Test Issuing")
        self.offered = [self.root.certificate, self.issuing.certificate]
        self.root_file = self.folder / "root.pem"
        self.root_file.write_bytes(self.root.pem)
        self.secret_file = self.folder / "secret"
        self.secret_file.write_text(":".join(SECRET) + "\n")
        self.secret_file.chmod(0o600)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}{PATH}"

    def issue(self, csr: x509.CertificateSigningRequest) -> x509.Certificate:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        builder = self.issuing.certify(csr.public_key(), csr.subject, ca=False)
        builder = builder.add_extension(names, critical=False)
        begin = self.begins().replace(tzinfo=None)
        builder._not_valid_before, builder._not_valid_after = begin, begin + self.life
        return self.issuing.sign(builder)

    def enroll(self, operation: str, der: bytes, password: str | None, peer: bytes | None) -> Reply | bytes:
        """The certificate, or why there is none."""
        digest = hashlib.sha256(der).hexdigest()
        csr = x509.load_der_x509_csr(der)
        if operation == "simplereenroll":
            if peer is None or x509.load_der_x509_certificate(peer) not in self.issued.values():
                return Reply(401, "Show the certificate that is to be renewed. [ACCESS-CERT-UNKNOWN]")
        else:
            good = "Basic " + base64.b64encode(":".join(SECRET).encode()).decode()
            spent = self.uses < 1 and digest not in self.issued
            if password != good or spent:
                return Reply(
                    401,
                    "The secret is unknown or spent. [EST-SECRET]",
                    {"WWW-Authenticate": 'Basic realm="x"'},
                )
        if digest not in self.issued:
            self.uses -= operation == "simpleenroll"
            self.issued[digest] = self.issue(csr)
        return pkcs7.serialize_certificates([self.issued[digest]], Encoding.DER)

    def tls(self) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = self.issuing.certify(key.public_key(), name_of("est"), ca=False)
        certificate = self.issuing.sign(builder.add_extension(address, critical=False))
        chain = self.folder / "tls.pem"
        chain.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
            + self.issuing.pem
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= NO_CHECK_TIME
        context.load_verify_locations(cafile=str(self.root_file))
        return context


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away because it does not trust this server is what some tests are about."""
        if not isinstance(sys.exc_info()[1], ssl.SSLError | ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def est_server(**options: Any) -> Iterator[EstServer]:
    """A running server; `base_path` in the URL is `PATH`."""
    with tempfile.TemporaryDirectory() as folder:
        server = EstServer(Path(folder), **options)
        listener = _Listener(("127.0.0.1", 0), _exchange_for(server))
        listener.socket = server.tls().wrap_socket(
            listener.socket, server_side=True, do_handshake_on_connect=False
        )
        server.port = listener.server_port
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
            listener.server_close()


def _exchange_for(server: EstServer) -> type[BaseHTTPRequestHandler]:
    class Exchange(BaseHTTPRequestHandler):
        """One request and its answer."""

        def do_GET(self) -> None:
            server.asked.append(self.path)
            assert self.path == f"{PATH}/cacerts"
            self.send(pkcs7.serialize_certificates(server.offered, Encoding.DER))

        def do_POST(self) -> None:
            server.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/pkcs10"
            if server.replies:
                self.send(server.replies.pop(0))
                return
            operation = self.path.rpartition("/")[2]
            peer = self.connection.getpeercert(binary_form=True)
            password = self.headers.get("Authorization")
            self.send(server.enroll(operation, base64.b64decode(body, validate=True), password, peer))

        def send(self, reply: Reply | bytes) -> None:
            if isinstance(reply, bytes):
                text = base64.b64encode(reply).decode() + "\n"
                reply = Reply(
                    200,
                    text,
                    {"Content-Transfer-Encoding": "base64"},
                    "application/pkcs7-mime; smime-type=certs-only",
                )
            self.send_response(reply.status)
            body = reply.text.encode()
            for name, value in {**reply.headers, "Content-Type": reply.media_type}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Nothing: tests read `asked`."""

    return Exchange
