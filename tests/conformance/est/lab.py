"""The laboratory: every process of a real install, nginx in front or not, and a maker of devices."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http import HTTPStatus
from pathlib import Path
from ssl import create_default_context
from typing import Any
from urllib.error import HTTPError

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca_server.cli.demo.layout import DemoOptions
from ca_server.core.signatures import spki_sha256
from tests.conformance.est.clients.client import Pair, Secret
from tests.conformance.est.maker import Maker
from tests.fixtures.appliance import Rehearsal, free_port, make_appliance
from tests.fixtures.commands import run
from tests.fixtures.nginx import behind_nginx
from tests.fixtures.running import Running, start_appliance

ROOT = Path(__file__).parents[3]
PROFILE = "tls-peer"
# Profiles of the laboratory alone, each as tls-peer but for what it is called after.
BOTH, APPROVED = "with-both", "approved"
SHORT_LINES = "short-lines"

CONFIG = """
[policies]
directory = {policies}

[[est.label]]
name = "{short_lines}"
profile = "{profile}"
line_length = 76

[[est.manufacturer]]
name = "maker"
trust_anchors = {anchors}
revocation_lists = [{crl}]
profiles = ["device-identity"]
names = ["dns:{{serial_number}}.devices.example.test"]
"""


class Lab:
    """A running server with two API processes, seen by clients from outside and by officers from inside."""

    def __init__(self, folder: Path, set_up: str, running: Running, maker: Maker) -> None:
        self.folder = folder
        self.set_up = set_up
        self.running = running
        self.maker = maker
        self.roots = running.layout.roots
        self.url = running.layout.ca_url

    # What an officer does.

    def new_secret(self, *names: str, profile: str = PROFILE, uses: int = 1) -> Secret:
        """Hand out an enrolment secret for some names."""
        patterns = [f"dns:{name}" for name in names]
        wish = {"owner": "team a", "profile": profile, "names": patterns, "max_uses": uses}
        made = self._ask("POST", "/enrolment-secrets", wish)
        return Secret(made["id"], made["secret"])

    def revoke(self, certificate: x509.Certificate) -> None:
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        self._ask("POST", f"/certificates/{fingerprint}/revocation", {"reason": "superseded"})

    def grant(self, pair: Pair) -> None:
        """Let the holder of a certificate ask over REST."""
        grant = {"name": "host", "role": "auditor", "spki_sha256": spki_sha256(pair.leaf.public_key())}
        self._ask("POST", "/client-grants", grant, role="administrator")

    def approve_next(self, name: str) -> None:
        """Wait until a request for a name is there, and approve it: somebody who made no secret does."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for each in self._ask("GET", "/certificate-requests?status=pending&limit=100")["items"]:
                if f"dns:{name}" in each["names"]:
                    decision = {"decision": "approved"}
                    place = f"/certificate-requests/{each['id']}/approvals"
                    self._ask("POST", place, decision, role="administrator")
                    return
            time.sleep(0.2)
        raise AssertionError(f"nobody asked for {name}")

    def record(self, certificate: x509.Certificate) -> dict[str, Any]:
        """A certificate as the inventory has it."""
        (found,) = self._ask("GET", f"/certificates?serial_number={certificate.serial_number:040x}")["items"]
        return dict(found)

    def asks_rest(self, pair: Pair) -> bool:
        """Whether REST still answers to the holder of a certificate."""
        context = create_default_context(cafile=str(self.roots))
        context.load_cert_chain(pair.certificate, pair.key)
        request = urllib.request.Request(f"{self.url}/api/v1/profiles")
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except HTTPError as error:
            if error.code != HTTPStatus.UNAUTHORIZED:
                raise
            return False

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The newest events of a kind."""
        page = self._ask("GET", f"/audit-events?kind={kind}&limit=100", role="auditor")
        return [each["leaf"] for each in page["items"]]

    def _ask(self, method: str, path: str, body: Any = None, role: str = "officer") -> Any:
        answer = self.running.ask(method, path, body, role=role)
        assert answer.status in {200, 201}, f"{method} {path} gave {answer.status}: {answer.body}"
        return answer.body

    # What anybody can see.

    @property
    def authorities(self) -> set[x509.Certificate]:
        """The certificates of the hierarchy."""
        files = (self.roots, self.running.layout.issuing_chain)
        return {each for file in files for each in x509.load_pem_x509_certificates(file.read_bytes())}

    def verify(self, pair: Pair, *names: str, profile: str = PROFILE) -> None:
        """A certificate that openssl accepts, for exactly these names, that fits its key."""
        chain = str(self.running.layout.issuing_chain)
        run("openssl", "verify", "-CAfile", str(self.roots), "-untrusted", chain, str(pair.certificate))
        public = run("openssl", "pkey", "-in", str(pair.key), "-pubout").stdout
        assert run("openssl", "x509", "-in", str(pair.certificate), "-noout", "-pubkey").stdout == public
        alternatives = pair.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert sorted(str(each.value) for each in alternatives) == sorted(names)
        record = self.record(pair.leaf)
        assert (record["profile"], record["protocol"]) == (profile, "est")


def write_policies(folder: Path) -> None:
    """The profiles that come with the product, and those of the laboratory."""
    shutil.copytree(ROOT / "policies", folder)
    text = (folder / "profiles" / f"{PROFILE}.toml").read_text()
    rules, _, _ = text.partition("[est]")
    rules = rules.rsplit("\n\n", 1)[0]  # without the comment above what was cut off
    named = f'name = "{PROFILE}"'
    both = rules.replace(named, f'name = "{BOTH}"')
    (folder / "profiles" / f"{BOTH}.toml").write_text(
        f'{both}\n[est]\nauthentication = "both"\nidentity_profiles = ["{PROFILE}"]\n'
    )
    approved = rules.replace(named, f'name = "{APPROVED}"')
    (folder / "profiles" / f"{APPROVED}.toml").write_text(
        approved.replace("[requesters]", "[requesters]\napprovals = 1")
    )


@contextmanager
def start_lab(folder: Path, set_up: str, url: str, rehearsal: Rehearsal) -> Iterator[Lab]:
    """A laboratory in a folder, over an empty database; gone at the end."""
    maker = Maker(folder / "maker")
    write_policies(folder / "policies")
    appliance = make_appliance(rehearsal, DemoOptions(folder, free_port(), free_port(), free_port(), url))
    with appliance.config_file.open("a") as file:
        paths = {"policies": folder / "policies", "anchors": maker.anchors, "crl": maker.crl}
        quoted = {name: json.dumps(str(path)) for name, path in paths.items()}
        file.write(CONFIG.format(short_lines=SHORT_LINES, profile=PROFILE, **quoted))
    in_front = behind_nginx if set_up.startswith("nginx") else nullcontext
    with in_front(appliance) as found, start_appliance(found) as running:
        yield Lab(folder, set_up, running, maker)
