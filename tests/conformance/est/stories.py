"""What a client does to show a capability, and how that is seen from outside. The same for every client."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from tests.conformance.est.capabilities import Capability
from tests.conformance.est.clients.client import Client, Pair, Refused, Secret, Wish, make_wish
from tests.conformance.est.clients.curl import ACCEPTED, Curl, certificate
from tests.conformance.est.clients.keys import (
    ASYMMETRIC,
    SYMMETRIC,
    Opener,
    name_key,
    parts_of,
    store_key,
)
from tests.conformance.est.lab import APPROVED, BOTH, SHORT_LINES, Lab
from tests.conformance.est.maker import Maker
from tests.fixtures.commands import run

REVOCATION_SECONDS = 10
UNAUTHENTICATED, FORBIDDEN, NOT_FOUND = 401, 403, 404
BAD_REQUEST, TOO_LARGE, WRONG_TYPE = 400, 413, 415
SHORT = 76


class Case:
    """One cell of the matrix: a client that is to show a capability, for a name of its own."""

    def __init__(self, lab: Lab, kind: type[Client], capability: Capability) -> None:
        self.lab = lab
        slug = f"{kind.__name__}-{capability.name}".lower().replace("_", "-")
        self.folder = lab.folder / "clients" / slug
        self.name = f"{slug}.example.test"
        self.client = kind(lab, self.folder / "home")

    @property
    def curl(self) -> Curl:
        assert isinstance(self.client, Curl)
        return self.client

    def wish(self, folder: str, *, key: Path | None = None) -> Wish:
        return make_wish(self.folder / folder, f"/CN={self.name}", self.name, key=key)

    def secret(self, **more: object) -> Secret:
        return self.lab.new_secret(self.name, **more)

    def enrolled(self, folder: str = "first") -> Pair:
        """A good first certificate by a secret."""
        pair = self.client.enrol(self.wish(folder), self.secret())
        self.lab.verify(pair, self.name)
        return pair

    def opener(self) -> Opener:
        return Opener(self.folder / "opener", self.lab.roots, self.lab.running.layout.issuing_chain)

    def refused(self, action: Callable[[], object], status: int, rule: str) -> None:
        """What was refused, with the rule where the client shows words, and in an event."""
        with pytest.raises(Refused) as refusal:
            action()
        assert refusal.value.status == status, refusal.value
        if isinstance(self.client, Curl):
            assert rule in refusal.value.text
        told = [*self.lab.events("access.refused"), *self.lab.events("issue.refused")]
        assert any(rule in each["data"]["rule_ids"] for each in told), f"no event of {rule}"


def cacerts(case: Case) -> None:
    assert case.client.authorities() == case.lab.authorities


def csrattrs(case: Case) -> None:
    encoded = case.folder / "attributes.b64"
    encoded.write_bytes(case.curl.ask("csrattrs").require("application/csrattrs"))
    der = encoded.with_suffix(".der")
    run("openssl", "base64", "-d", "-A", "-in", str(encoded), "-out", str(der))
    assert "Extension Request" in run("openssl", "asn1parse", "-inform", "DER", "-in", str(der)).stdout


def by_secret(case: Case) -> None:
    wish, secret = case.wish("first"), case.secret()
    first = case.client.enrol(wish, secret).certificate.read_bytes()
    case.lab.verify(wish.pair, case.name)
    # The answer was lost, perhaps: the same request has the same certificate, and uses the secret no more.
    assert case.client.enrol(wish, secret).certificate.read_bytes() == first


def by_certificate(case: Case) -> None:
    pair = case.enrolled()
    second = case.curl.enrol_by(case.wish("second"), *certificate(pair))
    case.lab.verify(second, case.name)


def by_both(case: Case) -> None:
    pair, secret = case.enrolled(), case.secret(profile=BOTH)
    operation = f"{BOTH}/simpleenroll"
    wish = case.wish("second")
    for half in (("--user", str(secret)), certificate(pair)):
        answer = case.curl.post_csr(operation, wish.csr, *half)
        assert answer.status == UNAUTHENTICATED, answer
    both = case.curl.enrol_by(wish, "--user", str(secret), *certificate(pair), operation=operation)
    case.lab.verify(both, case.name, profile=BOTH)


def by_manufacturer(case: Case) -> None:
    device = case.lab.maker.device("sn-0042")
    name = "sn-0042.devices.example.test"
    wish = make_wish(case.folder / "own", f"/CN={name}", name)
    pair = case.curl.enrol_by(wish, *certificate(device), operation="device-identity/simpleenroll")
    case.lab.verify(pair, name, profile="device-identity")
    other = make_wish(case.folder / "other", "/CN=other.devices.example.test", "other.devices.example.test")
    answer = case.curl.post_csr("device-identity/simpleenroll", other.csr, *certificate(device))
    assert (answer.status, "ACCESS-NAME" in answer.text) == (FORBIDDEN, True), answer


def renew_same_key(case: Case) -> None:
    pair = case.enrolled()
    renewed = case.client.renew(case.wish("second", key=pair.key), pair)
    case.lab.verify(renewed, case.name)
    assert renewed.leaf.public_key() == pair.leaf.public_key()
    assert renewed.leaf.serial_number != pair.leaf.serial_number


def renew_new_key(case: Case) -> None:
    pair = case.enrolled()
    renewed = case.client.renew(case.wish("second"), pair)
    case.lab.verify(renewed, case.name)
    assert renewed.leaf.public_key() != pair.leaf.public_key()
    assert renewed.leaf.subject == pair.leaf.subject


def server_key(case: Case) -> None:
    wish, secret = case.wish("first"), case.secret()
    answer = case.curl.post_csr("serverkeygen", wish.csr, "--user", str(secret))
    (media_type, pkcs8), encoded = parts_of(answer)
    assert media_type == "application/pkcs8"
    case.lab.verify(store_key(case.curl, wish, pkcs8, encoded), case.name)


def server_key_symmetric(case: Case) -> None:
    wish, secret = case.wish("first"), case.secret()
    name_key(wish, SYMMETRIC, secret.username.encode())
    answer = case.curl.post_csr("serverkeygen", wish.csr, "--user", str(secret))
    (media_type, sealed), encoded = parts_of(answer)
    assert media_type == "application/pkcs7-mime"
    pkcs8 = case.opener().by_secret(sealed, secret)
    case.lab.verify(store_key(case.curl, wish, pkcs8, encoded), case.name)


def server_key_asymmetric(case: Case) -> None:
    pair, wish = case.enrolled(), case.wish("second")
    name_key(wish, ASYMMETRIC, subject_key_identifier(pair))
    answer = case.curl.post_csr("serverkeygen", wish.csr, *certificate(pair))
    (media_type, sealed), encoded = parts_of(answer)
    assert media_type == "application/pkcs7-mime"
    pkcs8 = case.opener().by_pair(sealed, pair)
    case.lab.verify(store_key(case.curl, wish, pkcs8, encoded), case.name)


def subject_key_identifier(pair: Pair) -> bytes:
    return pair.leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def approval(case: Case) -> None:
    wish, who = case.wish("first"), ("--user", str(case.secret(profile=APPROVED)))
    operation = f"{APPROVED}/simpleenroll"
    answer = case.curl.post_csr(operation, wish.csr, *who)
    assert answer.status == ACCEPTED, answer
    assert int(answer.headers["Retry-After"]) > 0
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: case.curl.enrol_by(wish, *who, operation=operation))
        case.lab.approve_next(case.name)
        first = waiting.result().certificate.read_bytes()
    case.lab.verify(wish.pair, case.name, profile=APPROVED)
    again = case.curl.enrol_by(wish, *who, operation=operation)
    assert again.certificate.read_bytes() == first


def label(case: Case) -> None:
    wish = case.wish("first")
    secret = case.secret(profile="tls-client")
    pair = case.curl.enrol_by(wish, "--user", str(secret), operation="tls-client/simpleenroll")
    case.lab.verify(pair, case.name, profile="tls-client")
    answer = case.curl.ask("no-such-label/cacerts")
    assert answer.status == NOT_FOUND
    assert "EST-LABEL" in answer.text


def short_lines(case: Case) -> None:
    body = case.curl.ask(f"{SHORT_LINES}/cacerts").require("application/pkcs7-mime")
    assert max(map(len, body.splitlines())) == SHORT
    assert case.curl.certificates_in(body, one_line=False) == case.lab.authorities
    wrapped = case.curl.ask("cacerts", "--user-agent", "libest client 1.0")
    assert wrapped.body == body


def kept_alive(case: Case) -> None:
    assert case.curl.connections("cacerts", "csrattrs", "cacerts") == 1


def spent_secret(case: Case) -> None:
    secret = case.secret()
    case.client.enrol(case.wish("first"), secret)
    case.refused(lambda: case.client.enrol(case.wish("second"), secret), UNAUTHENTICATED, "EST-SECRET-SPENT")
    wrong = Secret(secret.username, "sk_" + "0" * 43)
    case.refused(lambda: case.client.enrol(case.wish("third"), wrong), UNAUTHENTICATED, "EST-SECRET")


def revoked(case: Case) -> None:
    pair, wish = case.enrolled(), case.wish("second")
    case.lab.grant(pair)
    assert case.lab.asks_rest(pair)
    case.lab.revoke(pair.leaf)
    deadline = time.monotonic() + REVOCATION_SECONDS
    while case.lab.asks_rest(pair):
        assert time.monotonic() < deadline, "REST still takes the revoked certificate"
        time.sleep(0.5)
    case.refused(lambda: case.client.renew(wish, pair), UNAUTHENTICATED, "ACCESS-CERT-REVOKED")
    if isinstance(case.client, Curl):
        for operation in ("cacerts", "csrattrs"):
            answer = case.client.ask(operation, *certificate(pair))
            assert (answer.status, "ACCESS-CERT-REVOKED" in answer.text) == (UNAUTHENTICATED, True), operation
        for operation in ("simpleenroll", "serverkeygen"):
            answer = case.client.post_csr(operation, wish.csr, *certificate(pair))
            assert (answer.status, "ACCESS-CERT-REVOKED" in answer.text) == (UNAUTHENTICATED, True), operation
    assert time.monotonic() < deadline


def foreign(case: Case) -> None:
    stranger = Maker(case.folder / "stranger", "Nobody").device("sn-0")
    wish = case.wish("first")
    case.refused(lambda: case.client.renew(wish, stranger), UNAUTHENTICATED, "ACCESS-CERT-UNKNOWN")


def wrong_content(case: Case) -> None:
    who = ("--user", str(case.secret()))
    wish, garbage = case.wish("first"), case.folder / "garbage"
    case.curl.post_csr("simpleenroll", wish.csr)
    good = case.curl.home / "request.b64"
    for content, status, rule in (
        (b"!" * 300, BAD_REQUEST, "EST-BASE64"),
        (b"MAMCAQE=", BAD_REQUEST, "CSR-ENCODING"),
        (wish.csr.read_bytes(), BAD_REQUEST, "EST-BASE64"),
        (b"A" * 70_000, TOO_LARGE, "EST-SIZE"),
    ):
        garbage.write_bytes(content)
        for more in ((), ("--header", "Transfer-Encoding: chunked")):
            answer = case.curl.post("simpleenroll", garbage, *who, *more)
            assert (answer.status, rule in answer.text) == (status, True), answer
    answer = case.curl.post("simpleenroll", good, *who, content_type="application/json")
    assert (answer.status, "EST-MEDIA-TYPE" in answer.text) == (WRONG_TYPE, True)
    # None of this has used the secret up.
    case.lab.verify(case.curl.enrol_by(wish, *who), case.name)


STORIES: dict[Capability, Callable[[Case], None]] = {
    Capability.CACERTS: cacerts,
    Capability.CSRATTRS: csrattrs,
    Capability.BY_SECRET: by_secret,
    Capability.BY_CERTIFICATE: by_certificate,
    Capability.BY_BOTH: by_both,
    Capability.BY_MANUFACTURER: by_manufacturer,
    Capability.RENEW_SAME_KEY: renew_same_key,
    Capability.RENEW_NEW_KEY: renew_new_key,
    Capability.SERVER_KEY: server_key,
    Capability.SERVER_KEY_SYMMETRIC: server_key_symmetric,
    Capability.SERVER_KEY_ASYMMETRIC: server_key_asymmetric,
    Capability.APPROVAL: approval,
    Capability.LABEL: label,
    Capability.SHORT_LINES: short_lines,
    Capability.KEPT_ALIVE: kept_alive,
    Capability.SPENT_SECRET: spent_secret,
    Capability.REVOKED: revoked,
    Capability.FOREIGN: foreign,
    Capability.WRONG_CONTENT: wrong_content,
}
