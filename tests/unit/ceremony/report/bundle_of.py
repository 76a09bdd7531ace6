"""A small bundle, made by hand from the shared formats, whose every text a test may choose."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca_server.core.ceremony.closing import Closing, Present, is_listed, make_closing
from ca_server.core.ceremony.transcript import Outcome, line_digest, make_line

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
STATEMENT = "gates/0001-open-key-officer-ada.txt"


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


def make_files(text: str = "Ada Lovelace", mode: str = "rehearsal") -> dict[str, bytes]:
    """The files of a bundle; `text` stands wherever people choose a text."""
    root = certificate(text[:64], 7300)
    title = rfc8785.dumps(text).decode()
    script = f'id = "first"\ntitle = {title}\n[[steps]]\nid = "make"\ndo = "key.generate"\n'.encode()
    persons = [{"id": "ada", "keys": [_key("AAAA")], "name": text}]
    roster = {"domain": "example.com", "format": "ceremony-roster/v1", "groups": {"green": ["ada"]}}
    files = {
        "script.toml": script,
        "roster.json": rfc8785.dumps({**roster, "persons": persons, "previous": None, "sequence": 1}),
        "authorities/root-r1.cer": root[0],
        "authorities/issuing-i1.cer": certificate("Issuing I1", 1825, root)[0],
        "crls/root-r1.crl": crl(root),
        "keys.json": rfc8785.dumps([{"label": text, "never_extractable": True, "type": "ec-p384"}]),
        "lints/root-r1.json": rfc8785.dumps({"finding": text}),
        "inputs/old": b"no certificate",
        STATEMENT: f"title\nperson: ada\nsubject: tbs/root.tbs\nsubject-sha256: {'ab' * 32}\n".encode(),
        STATEMENT + ".sig": b"signature",
    }
    files["transcript.jsonl"] = b"".join(_transcript(files, text, mode).lines)
    files["closing.txt"] = _closing(files, text, mode)
    return files


def _key(blob: str) -> dict:
    return {
        "kept_in": "file",
        "public_key": f"ssh-ed25519 {blob}",
        "use": "rehearsal",
        "valid_until": "2028-01-01T00:00:00Z",
    }


def _transcript(files: dict[str, bytes], text: str, mode: str) -> Transcript:
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
    signature = {"input": "tbs/root.tbs", "input_sha256": "ab" * 32, "output": "30", "released": True}
    story.add("opened", opening, at=0)
    story.add("gate", gate, at=60, step="open", actor="ada")
    story.add("begin", {"effect": "once", "attempt": 1}, at=61, step="make")
    story.add("effect", signature, at=62, step="make")
    story.add("deviation", {"text": text, "decision": text, "by": "ada"}, at=63, step="make", actor="ada")
    story.add("pause", {}, at=70, step="make")
    story.add("resume", {"found": {}}, at=3670, step="make", mono=5)
    story.add("done", {"inventory": {"vault": [text]}}, at=3671, step="make", mono=1005)
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
