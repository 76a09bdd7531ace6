"""Drives Python's acme library: one JSON object on standard input, one on standard output.

It runs in an environment of its own (`ops/requirements/acme-clients.lock`). What the library has no call
for goes through the same signed requests as raw JWS.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import josepy
import requests
from acme import client, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PATIENCE = 60.0


class Raw(josepy.JSONDeSerializable):
    """A payload as it is."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def to_partial_json(self) -> Any:
        return self.content

    @classmethod
    def from_json(cls, jobj: Any) -> Raw:
        return cls(jobj)


class Session:
    """One account at one directory."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.state_file = Path(asked["state"])
        self.state = json.loads(self.state_file.read_text()) if self.state_file.exists() else {}
        pem = self.state.get("key")
        self.connect(load_key(pem) if pem else ec.generate_private_key(ec.SECP256R1()))
        if "account" in self.state:
            self.net.account = messages.RegistrationResource(
                uri=self.state["account"], body=messages.Registration()
            )

    def connect(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.key = key
        self.net = client.ClientNetwork(josepy.JWKEC(key=key), alg=josepy.ES256)
        directory = client.ClientV2.get_directory(self.asked["directory"], self.net)
        self.acme = client.ClientV2(directory, self.net)

    def save(self) -> None:
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.state = {"key": key.decode(), "account": self.net.account.uri}
        self.state_file.write_text(json.dumps(self.state))

    def post(self, url: str, payload: Any = None) -> requests.Response:
        """A signed request; without a payload it is a POST-as-GET."""
        return self.net.post(
            url,
            None if payload is None else Raw(payload),
            new_nonce_url=self.acme.directory["newNonce"],
            content_type=client.ClientNetwork.JOSE_CONTENT_TYPE,
        )

    def fetch(self, url: str) -> Any:
        return self.post(url).json()

    # What can be asked.

    def register(self) -> dict[str, Any]:
        binding = self.asked.get("binding")
        external = binding and messages.ExternalAccountBinding.from_data(
            self.net.key.public_key(), binding["kid"], binding["hmac"], self.acme.directory
        )
        account = self.acme.new_account(
            messages.NewRegistration.from_data(
                email=self.asked["email"], terms_of_service_agreed=True, external_account_binding=external
            )
        )
        self.save()
        return {"account": account.uri}

    def update(self) -> dict[str, Any]:
        answer = self.post(self.state["account"], {"contact": [f"mailto:{self.asked['email']}"]}).json()
        return {"contact": answer["contact"]}

    def change_key(self) -> dict[str, Any]:
        """RFC 8555 §7.3.5: the inner JWS is the new key's and says which account and which old key."""
        url = self.acme.directory["keyChange"]
        old, account = self.key, self.net.account
        new = ec.generate_private_key(ec.SECP256R1())
        payload = {"account": account.uri, "oldKey": public_jwk(old)}
        self.post(url, sign(new, {"alg": "ES256", "jwk": public_jwk(new), "url": url}, payload))
        self.connect(new)
        self.net.account = account
        self.save()
        return {}

    def deactivate(self) -> dict[str, Any]:
        return {"status": self.post(self.state["account"], {"status": "deactivated"}).json()["status"]}

    def revoke(self) -> dict[str, Any]:
        if "key" in self.asked:
            self.connect(load_key(Path(self.asked["key"]).read_text()))
        certificate = x509.load_pem_x509_certificates(Path(self.asked["certificate"]).read_bytes())[0]
        self.acme.revoke(certificate, self.asked["reason"])
        return {}

    def issue(self) -> dict[str, Any]:
        files = self.asked["files"]
        csr = self.asked["csr"] and Path(self.asked["csr"]).read_bytes()
        if not csr:
            key, csr = make_request(self.asked["names"])
            Path(files["key"]).write_bytes(key)
        order = self.acme.new_order(csr, self.asked["profile"])
        for authorization in order.authorizations:
            self.answer(authorization.uri)
        finished = self.acme.poll_and_finalize(order)
        Path(files["chain"]).write_text(finished.fullchain_pem)
        return {"order": finished.uri, "status": str(finished.body.status)}

    def order(self) -> dict[str, Any]:
        """newOrder by raw JWS, with members that the library does not know; finished if files are named."""
        members = self.asked["members"]
        made = self.post(self.acme.directory["newOrder"], members)
        url, order = made.headers["Location"], made.json()
        files = self.asked.get("files")
        if files:
            for each in order["authorizations"]:
                self.answer(each)
            key, csr = make_request([each["value"] for each in order["identifiers"]])
            Path(files["key"]).write_bytes(key)
            der = x509.load_pem_x509_csr(csr).public_bytes(serialization.Encoding.DER)
            self.wait(url, "ready")
            self.post(order["finalize"], {"csr": encode(der)})
            order = self.wait(url, "valid")
            Path(files["chain"]).write_text(self.post(order["certificate"]).text)
        return {"url": url, "order": order}

    def pre_authorize(self) -> dict[str, Any]:
        made = self.post(self.acme.directory["newAuthz"], {"identifier": self.asked["identifier"]})
        url = made.headers["Location"]
        self.answer(url)
        return {"url": url, "authorization": self.wait(url, "valid")}

    def deactivate_authorization(self) -> dict[str, Any]:
        identifiers = [{"type": "dns", "value": name} for name in self.asked["names"]]
        order = self.post(self.acme.directory["newOrder"], {"identifiers": identifiers}).json()
        return self.post(order["authorizations"][0], {"status": "deactivated"}).json()

    def orders(self) -> dict[str, Any]:
        """The account's orders, page after page (RFC 8555 §7.1.2.1)."""
        account = self.post(self.state["account"], {}).json()
        found, url = [], account["orders"]
        while url:
            page = self.post(url)
            found += page.json()["orders"]
            url = page.links.get("next", {}).get("url")
        return {"orders": found, "account": account}

    def renewal_time(self) -> dict[str, Any]:
        when, _ = self.acme.renewal_time(Path(self.asked["certificate"]).read_bytes())
        now = datetime.now(UTC)  # noqa: TID251 - a client goes by its machine's clock
        return {"due": when is not None and when <= now, "when": str(when)}

    def certid(self) -> dict[str, Any]:
        """What RFC 9773 §4.1 calls the certificate, as the library writes it."""
        certificate = x509.load_pem_x509_certificates(Path(self.asked["certificate"]).read_bytes())[0]
        return {"certid": client._renewal_info_path_component(certificate)}

    # How it is done.

    def wait(self, url: str, status: str) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            found = self.fetch(url)
            if found["status"] == status:
                return found
            if found["status"] == "invalid" or time.monotonic() > end:
                raise SystemExit(f"{url} is not {status}: {json.dumps(found)}")
            time.sleep(0.2)

    def answer(self, url: str) -> None:
        authorization = self.fetch(url)
        if authorization["status"] == "valid":
            return
        wanted = self.asked["challenge"]
        challenge = next(each for each in authorization["challenges"] if each["type"] == wanted)
        path, record = self.proof(authorization["identifier"]["value"], challenge)
        requests.post(f"{self.asked['challtestsrv']}/{path}", json=record, timeout=10).raise_for_status()
        self.post(challenge["url"], {})
        self.wait(url, "valid")

    def proof(self, name: str, challenge: dict[str, Any]) -> tuple[str, dict[str, str]]:
        """What the challenge test server must be told."""
        kind, account = challenge["type"], self.net.account.uri
        if kind == "dns-persist-01":
            issuer = challenge["issuer-domain-names"][0]
            return "set-txt", {
                "host": f"_validation-persist.{name}.",
                "value": f"{issuer}; accounturi={account}",
            }
        text = f"{challenge['token']}.{encode(self.net.key.thumbprint())}"
        digest = encode(hashlib.sha256(text.encode()).digest())
        if kind == "http-01":
            return "add-http01", {"token": challenge["token"], "content": text}
        if kind == "tls-alpn-01":
            return "add-tlsalpn01", {"host": name, "content": text}
        label = "_acme-challenge"
        if kind == "dns-account-01":
            own = base64.b32encode(hashlib.sha256(account.encode()).digest()[:10]).decode().lower()
            label = f"_{own}.{label}"
        return "set-txt", {"host": f"{label}.{name}.", "value": digest}


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def load_key(pem: str) -> Any:
    return serialization.load_pem_private_key(pem.encode(), None)


def public_jwk(key: ec.EllipticCurvePrivateKey) -> Any:
    return josepy.JWKEC(key=key).public_key().to_json()


def sign(key: ec.EllipticCurvePrivateKey, header: dict[str, Any], payload: Any) -> dict[str, str]:
    """A JWS by hand (RFC 7515 §7.2.2)."""
    protected, content = (encode(json.dumps(each).encode()) for each in (header, payload))
    signature = josepy.ES256.sign(josepy.ComparableECKey(key), f"{protected}.{content}".encode())
    return {"protected": protected, "payload": content, "signature": encode(signature)}


def make_request(names: list[str]) -> tuple[bytes, bytes]:
    """A new key, and a CSR for the names with an empty subject, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(alternatives, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, request.public_bytes(serialization.Encoding.PEM)


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def main() -> None:
    asked = json.load(sys.stdin)
    answer = getattr(Session(asked), asked["action"].replace("-", "_"))()
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
