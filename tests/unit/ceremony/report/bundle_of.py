"""A small bundle, made by hand from the shared formats, whose every text a test may choose."""

from __future__ import annotations

import base64
import hashlib
import textwrap
from datetime import UTC, datetime, timedelta

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ca_server.core.ceremony.closing import Closing, Present, is_listed, make_closing
from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.ssh_wire import write_string
from ca_server.core.ceremony.statement import Gate, Statement
from ca_server.core.ceremony.transcript import Outcome, line_digest, make_line

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
STATEMENT = "gates/0000-open-key-officer-ada.txt"
DOMAIN = "example.com"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def certificate(name: str, days: int, issuer: tuple | None = None) -> tuple:
    """A CA certificate with its key and name: self-signed, or by an issuer that this made."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_key, issuer_name = (issuer[1], issuer[2]) if issuer else (key, subject)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(0x1234)
        .not_valid_before(NOON)
        .not_valid_after(NOON + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER), key, subject


def crl(issuer: tuple) -> bytes:
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(0xBAD)
        .revocation_date(NOON)
        .add_extension(x509.CRLReason(x509.ReasonFlags.ca_compromise), critical=False)
        .build()
    )
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer[2])
        .last_update(NOON)
        .next_update(NOON + timedelta(days=365))
        .add_extension(x509.CRLNumber(7), critical=False)
        .add_revoked_certificate(entry)
        .sign(issuer[1], hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


class Transcript:
    """Lines, each after the one before."""

    def __init__(self, script: bytes) -> None:
        self.lines: list[bytes] = []
        self._first = sha256(script)

    def add(
        self, event: str, data: dict, *, at: float, step: str = "-", actor: str = "engine", mono=None
    ) -> None:
        self.lines.append(
            make_line(
                seq=len(self.lines),
                prev=line_digest(self.lines[-1]) if self.lines else self._first,
                utc=NOON + timedelta(seconds=at),
                mono_ms=int(at * 1000) if mono is None else mono,
                step=step,
                event=event,
                actor=actor,
                data=data,
            )
        )


def make_files(
    text: str = "Ada Lovelace", mode: str = "rehearsal", odd: dict | None = None
) -> dict[str, bytes]:
    """The files of a bundle; `text` stands wherever people choose a text, `odd` is the last line's data."""
    root = certificate(text[:64], 7300)
    title = rfc8785.dumps(text).decode()
    script = f'id = "first"\ntitle = {title}\n[[steps]]\nid = "make"\ndo = "key.generate"\n'.encode()
    for step in ("before", "after"):
        script += f'[[steps]]\nid = "{step}"\ndo = "hsm.inventory"\n'.encode()
    key = ed25519.Ed25519PrivateKey.generate()
    listed = {
        "kept_in": "file" if mode == "rehearsal" else "smartcard",
        "public_key": f"ssh-ed25519 {base64.b64encode(_blob(key)).decode()}",
        "use": mode,
        "valid_until": "2028-01-01T00:00:00Z",
    }
    name = text if text.isprintable() else "Ada <script>alert(2)</script>"
    persons = [{"id": "ada", "keys": [listed], "name": name}]
    roster = {"domain": DOMAIN, "format": "ceremony-roster/v1", "groups": {"green": ["ada"]}}
    files = {
        "script.toml": script,
        "roster.json": rfc8785.dumps({**roster, "persons": persons, "previous": None, "sequence": 1}),
        "authorities/root-r1.cer": root[0],
        "authorities/issuing-i1.cer": certificate("Issuing I1", 1825, root)[0],
        "crls/root-r1.crl": crl(root),
        "keys.json": rfc8785.dumps([{"label": text, "never_extractable": True, "type": "ec-p384"}]),
        "lints/root-r1.json": rfc8785.dumps({"finding": text}),
        "inputs/old": b"no certificate",
        "evidence/sealed.json": rfc8785.dumps({"bag": "4711", "seal": text}),
        "evidence/before.json": rfc8785.dumps([{"label": "old", "id": "01", "type": "ec-p256"}]),
        "evidence/after.json": rfc8785.dumps([{"label": text, "id": "02", "type": "ec-p384"}]),
    }
    namespace = f"{'ceremony' if mode == 'production' else 'ceremony-rehearsal'}@{DOMAIN}"
    files[STATEMENT] = _statement(files, mode)
    files[STATEMENT + ".sig"] = _sshsig(key, namespace, files[STATEMENT])
    files["transcript.jsonl"] = b"".join(_transcript(files, text, mode, odd).lines)
    files["closing.txt"] = _closing(files, text, mode)
    return files


def _blob(key: ed25519.Ed25519PrivateKey) -> bytes:
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return write_string(b"ssh-ed25519") + write_string(public)


def _sshsig(key: ed25519.Ed25519PrivateKey, namespace: str, message: bytes) -> bytes:
    """A signature as `ssh-keygen -Y sign` makes it (PROTOCOL.sshsig)."""
    parts = [namespace.encode(), b"", b"sha512"]
    to_sign = b"".join(map(write_string, [*parts, hashlib.sha512(message).digest()]))
    signature = write_string(b"ssh-ed25519") + write_string(key.sign(b"SSHSIG" + to_sign))
    blob = b"SSHSIG\0\0\0\1" + b"".join(map(write_string, [_blob(key), *parts, signature]))
    lines = textwrap.wrap(base64.b64encode(blob).decode(), 70)
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def _statement(files: dict[str, bytes], mode: str) -> bytes:
    return Statement(
        ceremony="first",
        kind="root-generate",
        mode=mode,
        gate=Gate.OPEN,
        step="open",
        script_sha256=sha256(files["script.toml"]),
        roster_sha256=sha256(files["roster.json"]),
        subject="tbs/root.tbs",
        subject_sha256="ab" * 32,
        transcript_sequence=0,
        transcript_sha256="00" * 32,
        person="ada",
        role=RoleName.KEY_OFFICER,
        nonce="12" * 16,
        time=NOON,
    ).text()


def _transcript(files: dict[str, bytes], text: str, mode: str, odd: dict | None) -> Transcript:
    story = Transcript(files["script.toml"])
    opening = {
        "format": "ceremony-transcript/v1",
        "ceremony": "first",
        "kind": "root-generate",
        "mode": mode,
        "script_sha256": sha256(files["script.toml"]),
        "roles": {"key-officer": {"group": "green", "quorum": 2}},
        "tool": {"version": "1.2.3", "sha256": "cd" * 32},
    }
    gate = {
        "gate": "open",
        "person": "ada",
        "role": "key-officer",
        "statement": STATEMENT,
        "statement_sha256": sha256(files[STATEMENT]),
        "signature": STATEMENT + ".sig",
        "signature_sha256": sha256(files[STATEMENT + ".sig"]),
        "key_sha256": "ef" * 32,
    }
    device = {"vault": {"label": "REHEARSAL-vault", "serial": "4711"}}
    signature = {"input": "tbs/root.tbs", "input_sha256": "ab" * 32, "output": "30", "released": True}
    story.add("opened", opening, at=0)
    story.add("gate", gate, at=60, step="open", actor="ada")
    story.add("done", {"result": {"binding": device}, "files": {}}, at=60, step="login")
    story.add("done", {"result": {"hsm": "vault", "objects": 1}, "files": {}}, at=61, step="before")
    story.add("begin", {"effect": "once", "attempt": 1}, at=61, step="make")
    story.add("effect", signature, at=62, step="make")
    story.add("deviation", {"text": text, "decision": text, "by": "ada"}, at=63, step="make", actor="ada")
    story.add("pause", {}, at=70, step="make")
    story.add("resume", {"found": {}}, at=3670, step="make", mono=5)
    story.add("done", {"result": {"bag": text}, "files": {}}, at=3671, step="make", mono=1005)
    last = {"result": {"hsm": "vault", "objects": 1}, "files": {}} if odd is None else odd
    story.add("done", last, at=3672, step="after", mono=2005)
    return story


def _closing(files: dict[str, bytes], text: str, mode: str) -> bytes:
    last = files["transcript.jsonl"].splitlines()[-1]
    return make_closing(
        Closing(
            ceremony="first",
            kind="root-generate",
            mode=mode,
            outcome=Outcome.COMPLETED_WITH_DEVIATIONS,
            script_sha256=sha256(files["script.toml"]),
            roster_sha256=sha256(files["roster.json"]),
            head_sequence=7,
            head_sha256=sha256(last),
            time=NOON,
            deviations=1,
            present=(Present("key-officer", "ada", text if text.isprintable() else "Ada"),),
            files={name: sha256(data) for name, data in files.items() if is_listed(name)},
        )
    )
