"""The laboratory: every process of a real install, and a challenge test server as its DNS.

It needs neither root nor a namespace: the server validates on free high ports, and each client answers on a
loopback address of its own.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from ssl import create_default_context
from typing import Any

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from ca_server.cli.demo.layout import DemoOptions
from tests.conformance.acme.answerer import Answerer
from tests.conformance.acme.clients.certbot import is_address
from tests.conformance.acme.clients.client import ExternalKey, Issued
from tests.fixtures.appliance import Rehearsal, free_port, make_appliance
from tests.fixtures.running import Running, start_appliance


class Lab:
    """A running server with two API processes, seen by clients from outside and by officers from inside."""

    def __init__(self, folder: Path, database: str, running: Running, answerer: Answerer) -> None:
        self.folder = folder
        self.database = database
        self.running = running
        self._answerer = answerer
        self.http_port = answerer.http_port
        self.tls_port = answerer.tls_port
        self.dns = f"127.0.0.1:{answerer.dns_port}"
        self.challtestsrv = answerer.url
        self.roots = running.layout.roots

    def directory(self, profile: str) -> str:
        return self.running.layout.acme_directory(profile)

    def new_address(self) -> str:
        return self._answerer.new_address()

    def point(self, name: str, address: str) -> None:
        self._answerer.point(name, address)

    # What an officer does.

    def new_external_key(self, profile: str, names: str) -> ExternalKey:
        """Hand out an external account key that allows a profile and a pattern of names."""
        made = self._ask(
            "POST", "/external-account-keys", {"owner": "team a", "profiles": [profile], "names": [names]}
        )
        return ExternalKey(made["id"], made["hmac_key"])

    def flag_for_renewal(self, certificate: x509.Certificate) -> None:
        """Have its renewal window opened at once."""
        subject = self.record(certificate)["id"]
        self._ask("POST", "/renewal-flags", {"scope": "certificate", "subject": subject})

    def record(self, certificate: x509.Certificate) -> dict[str, Any]:
        """A certificate as the inventory has it."""
        (found,) = self._ask("GET", f"/certificates?serial_number={certificate.serial_number:040x}")["items"]
        return dict(found)

    def profiles_in_use(self) -> set[str]:
        """Every profile that an order was fulfilled under."""
        return {each["profile"] for each in self._all("/acme-orders") if each["status"] == "valid"}

    def contacts(self, status: str = "valid") -> set[str]:
        """The contacts of every account with this status."""
        accounts = [each for each in self._all("/acme-accounts") if each["status"] == status]
        return {contact for each in accounts for contact in each["contacts"]}

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while cursor is not None:
            page = self._ask("GET", f"{path}?limit=100{cursor and '&cursor='}{cursor}")
            yield from page["items"]
            cursor = page["next_cursor"]

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.running.ask(method, path, body, role="officer")
        assert answer.status in {200, 201}, f"{method} {path} gave {answer.status}: {answer.body}"
        return answer.body

    # What anybody can see.

    def fetch_directory(self, profile: str) -> dict[str, Any]:
        context = create_default_context(cafile=str(self.roots))
        with urllib.request.urlopen(self.directory(profile), timeout=10, context=context) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def verify(self, issued: Issued, names: tuple[str, ...]) -> None:
        """A certificate that a TLS client accepts, for exactly these names, with nothing else in it."""
        leaf, *between = issued.chain
        root = x509.load_pem_x509_certificate(self.roots.read_bytes())
        builder = PolicyBuilder().store(Store([root])).time(datetime.now(UTC))  # noqa: TID251 - a client's
        for name in names:
            probe = x509.DNSName(name.replace("*", "any"))
            subject = x509.IPAddress(ip_address(name)) if is_address(name) else probe
            builder.build_server_verifier(subject).verify(leaf, between)
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert sorted(str(each.value) for each in alternatives) == sorted(names)

    def answered_routes(self) -> set[tuple[str, str]]:
        """Method and pattern of every request that the API door answered well, from its log."""
        found = set()
        for line in self.running.processes.log_file("serve").read_text().splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("http.response.status_code", 500) < 400:
                found.add((entry["http.request.method"], entry["http.route"]))
        return found


@contextmanager
def start_lab(folder: Path, database: str, url: str, rehearsal: Rehearsal) -> Iterator[Lab]:
    """A laboratory in a folder, over an empty database; gone at the end."""
    answerer = Answerer(folder)
    try:
        options = DemoOptions(
            *(folder, free_port(), free_port(), free_port(), url),
            dns_server=f"127.0.0.1:{answerer.dns_port}",
            http01_port=answerer.http_port,
            tls_alpn01_port=answerer.tls_port,
        )
        with start_appliance(make_appliance(rehearsal, options)) as running:
            yield Lab(folder, database, running, answerer)
    finally:
        answerer.stop()
