#!/usr/bin/env python3
"""Verify the bundle of a key ceremony: a second implementation in one file, sharing no code with the first.

    python3 verify_ceremony.py BUNDLE [--sha256 HEX] [--roster-sha256 HEX] [--json]

It needs Python 3.9 or later (3.11 to read the script), `ssh-keygen` (OpenSSH 9.1 or later) and `openssl`
(3.0 or later). Each check is a line `ok`, `BAD` or `?`. Exit 0: all is good; 1: something is bad; 2: it can
not tell, because a tool or something to compare with is missing. What is missing is never taken for good.
"""

from __future__ import annotations

import argparse
import base64
import calendar
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

try:
    import tomllib
except ImportError:  # Python 3.9 and 3.10: what stands in the script cannot be told
    tomllib = None

MAX_BUNDLE_BYTES = 64 * 1024 * 1024
ROLES = {
    "administrator", "security-officer", "key-officer", "custodian", "internal-witness", "external-witness",
    "system-admin", "incident-owner", "auditor",
}  # fmt: skip
APART = (("administrator", "internal-witness"), ("security-officer", "key-officer"))
EVENTS = {"opened", "begin", "effect", "done", "gate", "deviation", "pause", "resume", "stopped", "end"}
GOOD = {"completed", "completed-with-deviations"}
OUTCOMES = GOOD | {"suspended", "aborted-clean", "aborted-dirty"}
LINE_KEYS = {"actor", "data", "event", "mono_ms", "prev", "seq", "step", "utc"}
STATEMENT_TITLE = "sealkeeper ceremony statement v1"
STATEMENT_KEYS = (
    "ceremony", "kind", "mode", "gate", "step", "script-sha256", "roster-sha256", "subject", "subject-sha256",
    "transcript-sequence", "transcript-sha256", "person", "role", "nonce", "time",
)  # fmt: skip
CLOSING_TITLE = "sealkeeper ceremony closing statement v1"
CLOSING_KEYS = (
    "ceremony", "kind", "mode", "outcome", "script-sha256", "roster-sha256", "transcript-sequence",
    "transcript-sha256", "time", "deviations",
)  # fmt: skip
PATH = re.compile(r"[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*")
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
HEX = re.compile(r"[0-9a-f]{64}")
NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
FIDO = {"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}
WEBAUTHN = b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com"  # what a browser has such a token sign
SSH_KEYS = FIDO | {
    "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
}  # fmt: skip
TOUCH, PIN = 0x01, 0x04


class Bad(Exception):
    """Something in the bundle is not as it must be."""


class CannotTell(Exception):
    """A tool, or something to compare with, is missing."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def expect(condition: object, message: str) -> None:
    if not condition:
        raise Bad(message)


def moment(text: object, where: str) -> int:
    """Seconds since 1970 of an RFC 3339 time in UTC with whole seconds."""
    expect(isinstance(text, str) and TIME.fullmatch(text), f"{where}: {text!r} is not a time")
    try:
        return calendar.timegm(time.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise Bad(f"{where}: {text!r} is not a time") from None


# --- The archive: POSIX.1-1988 ustar in one spelling


def tar_header(name: bytes, size: int) -> bytes:
    """The one header that a regular file of this name and size may have."""
    fields = [name.ljust(100, b"\0"), b"0000444\0", b"0000000\0" * 2, b"%011o\0" % size, b"%011o\0" % 0]
    start, rest = b"".join(fields), b"0" + bytes(100) + b"ustar\x0000" + bytes(64 + 16 + 155 + 12)
    checksum = sum(start) + sum(b" " * 8) + sum(rest)
    return start + b"%06o\0 " % checksum + rest


def read_tar(data: bytes) -> tuple[dict[str, bytes], list[str]]:
    """The files, and everything in which the archive differs from its one spelling."""
    files: dict[str, bytes] = {}
    problems, at, last = [], 0, ""
    while data[at : at + 1] not in (b"", b"\0"):
        header, raw = data[at : at + 512], data[at : at + 100].rstrip(b"\0")
        name, size = raw.decode("ascii", "backslashreplace"), header[124:135]
        if not re.fullmatch(rb"[0-7]{11}", size) or b"ustar" not in header:
            problems.append(f"{name}: what follows {last or 'the start'} is not the tar header of a file")
            break
        length = int(size, 8)
        body, end = at + 512, at + 512 + -(-length // 512) * 512
        if header != tar_header(raw, length):
            problems.append(f"{name}: its tar header is not in the one spelling")
        if end > len(data) or any(data[body + length : end]):
            problems.append(f"{name}: it is cut off, or the padding after it is not empty")
        if not PATH.fullmatch(name) or name <= last:
            problems.append(f"{name}: its name is not allowed, or not in order after {last}")
        files[name], at, last = data[body : body + length], end, name
    if any(data[at:]) or len(data) != -(-(at + 1024) // 10240) * 10240:
        problems.append(f"{last}: the archive does not end after it with zeros up to a whole record")
    return files, problems


# --- JSON: RFC 8785 without fractions


def canonical(value: Any) -> bytes:
    """RFC 8785 of a value made of objects, arrays, strings, whole numbers, booleans and null."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return b"{" + b",".join(canonical(key) + b":" + canonical(each) for key, each in pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(canonical(each) for each in value) + b"]"
    expect(not isinstance(value, float), "a fraction in JSON")
    expect(not isinstance(value, int) or abs(value) < 2**53, "a number too large for JSON")
    return json.dumps(value, ensure_ascii=False).encode()


def read_json(data: bytes, where: str) -> Any:
    """The value of canonical JSON; any other spelling could hide a change."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        expect(len(dict(pairs)) == len(pairs), "a member twice")
        return dict(pairs)

    try:
        value = json.loads(data.decode(), object_pairs_hook=once)
        expect(canonical(value) == data, "another spelling than RFC 8785")
    except (ValueError, RecursionError, Bad) as error:
        raise Bad(f"{where}: it is not canonical JSON: {error}") from None
    return value


# --- DER: as little as is needed to cut certificates, CRLs and CSRs apart


class Node(NamedTuple):
    tag: int
    start: int
    body: int
    end: int


def node(data: bytes, at: int, limit: int) -> Node:
    """The element at a place (X.690 10.1: definite, minimal lengths; one-byte tags)."""
    expect(at + 2 <= limit and data[at] & 0x1F != 0x1F, "not DER")
    first = data[at + 1]
    count = first & 0x7F if first & 0x80 else 0
    expect(first != 0x80 and count <= 4 and at + 2 + count <= limit, "not DER")
    length = int.from_bytes(data[at + 2 : at + 2 + count], "big") if count else first
    expect(not count or (data[at + 2] and length > 0x7F), "a length in DER is not minimal")
    body = at + 2 + count
    expect(body + length <= limit, "DER cut off")
    return Node(data[at], at, body, body + length)


def parts(data: bytes, parent: Node) -> list[Node]:
    found, at = [], parent.body
    while at < parent.end:
        found.append(node(data, at, parent.end))
        at = found[-1].end
    return found


def whole(data: bytes, tag: int = 0x30) -> Node:
    top = node(data, 0, len(data))
    expect(top.tag == tag and top.end == len(data), "bytes after the end of DER")
    return top


class Signed(NamedTuple):
    """A certificate, CRL or CSR: SEQUENCE { to-be-signed, algorithm, BIT STRING }."""

    path: str
    kind: str
    tbs: bytes
    algorithm: bytes
    signature: bytes
    spki: bytes
    issuer: bytes
    subject: bytes
    times: tuple[int, ...]
    extensions: dict[bytes, bytes]
    numbers: tuple[bytes, ...]  # of a certificate its serial number, of a CRL those revoked
    der: bytes


def asn1_time(raw: bytes, tag: int) -> int:
    text = raw.decode("ascii", "replace")
    if tag == 0x17:
        text = ("20" if text < "5" else "19") + text
    try:
        return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))
    except ValueError:
        raise Bad("a time in DER is wrong") from None


def read_tbs(path: str, tbs: bytes) -> Signed:
    """What a TBSCertificate, TBSCertList or CertificationRequestInfo says (RFC 5280, RFC 2986)."""

    def cut(each: Node) -> bytes:
        return tbs[each.start : each.end]

    fields = parts(tbs, whole(tbs))
    tags = [each.tag for each in fields]
    extensions: dict[bytes, bytes] = {}
    for each in fields:
        if each.tag == (0xA3 if tags[0] == 0xA0 else 0xA0) and tags[:4] != [0x02, 0x30, 0x30, 0xA0]:
            for extension in parts(tbs, node(tbs, each.body, each.end)):
                inside = parts(tbs, extension)
                extensions[tbs[inside[0].body : inside[0].end]] = tbs[inside[-1].body : inside[-1].end]
    if tags[:7] == [0xA0, 0x02, 0x30, 0x30, 0x30, 0x30, 0x30]:
        times = tuple(asn1_time(tbs[each.body : each.end], each.tag) for each in parts(tbs, fields[4]))
        cuts = {"algorithm": cut(fields[2]), "issuer": cut(fields[3]), "subject": cut(fields[5])}
        more = {"kind": "certificate", "spki": cut(fields[6]), "times": times, "numbers": (cut(fields[1]),)}
    elif tags[:4] == [0x02, 0x30, 0x30, 0xA0]:
        cuts = {"algorithm": b"", "issuer": b"", "subject": cut(fields[1])}
        more = {"kind": "csr", "spki": cut(fields[2]), "times": (), "numbers": ()}
    elif tags[:3] == [0x02, 0x30, 0x30] and tags[3] in (0x17, 0x18):
        times = tuple(
            asn1_time(tbs[each.body : each.end], each.tag) for each in fields[3:5] if each.tag < 0x30
        )
        revoked = [each for each in fields[4:] if each.tag == 0x30]
        numbers = [cut(parts(tbs, entry)[0]) for each in revoked for entry in parts(tbs, each)]
        cuts = {"algorithm": cut(fields[1]), "issuer": cut(fields[2]), "subject": b""}
        more = {"kind": "crl", "spki": b"", "times": times, "numbers": tuple(numbers)}
    else:
        raise Bad("neither certificate, CRL nor CSR")
    return Signed(path=path, tbs=tbs, signature=b"", der=b"", extensions=extensions, **cuts, **more)


def read_signed(path: str, data: bytes) -> Signed:
    """The signed object in a file, DER or PEM."""
    try:
        if data.startswith(b"-----BEGIN "):
            data = base64.b64decode(b"".join(data.strip().splitlines()[1:-1]), validate=True)
        tbs, algorithm, bits = parts(data, whole(data))
        expect(bits.tag == 0x03 and data[bits.body] == 0, "no signature")
        found = read_tbs(path, data[tbs.start : tbs.end])
        outer = data[algorithm.start : algorithm.end]
        expect(
            found.algorithm in (b"", outer), "two different algorithms inside and outside of what is signed"
        )
        return found._replace(algorithm=outer, signature=data[bits.body + 1 : bits.end], der=data)
    except (Bad, ValueError, IndexError) as error:
        raise Bad(f"{path}: {error}") from None


DIGESTS = {b"\x02": "sha256", b"\x03": "sha384", b"\x04": "sha512"}
RSA_DIGESTS = {b"\x0b": "sha256", b"\x0c": "sha384", b"\x0d": "sha512"}
ECDSA, RSA = bytes.fromhex("2a8648ce3d0403"), bytes.fromhex("2a864886f70d0101")
SHA2 = bytes.fromhex("6086480165030402")
# Ed25519 (RFC 8410) and ML-DSA (RFC 9881)
HASH_THEMSELVES = {
    bytes.fromhex(each) for each in ("2b6570", *(f"6086480165030403{n}" for n in (11, 12, 13)))
}


def algorithm_options(algorithm: bytes) -> list[str]:
    """How `openssl` is told of an AlgorithmIdentifier; an empty list for those that hash by themselves."""
    oid = parts(algorithm, whole(algorithm))[0]
    name = algorithm[oid.body : oid.end]
    if name[:-1] == ECDSA:
        return ["-" + DIGESTS[name[-1:]]]
    if name == RSA + b"\x0a":
        at = algorithm.find(SHA2)
        digest = {b"\x01": "sha256", b"\x02": "sha384", b"\x03": "sha512"}[algorithm[at + 8 : at + 9]]
        return ["-" + digest, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
    if name[:-1] == RSA:
        return ["-" + RSA_DIGESTS[name[-1:]]]
    expect(name in HASH_THEMSELVES, f"an algorithm that is not allowed, {name.hex()}")
    return []


def mechanism_options(name: str) -> list[str]:
    """The same of a transcript's word for an algorithm, such as ecdsa-sha384, rsa-pss-sha256 or ed25519."""
    digest = re.fullmatch(r"(ecdsa|rsa|rsa-pss)-(sha256|sha384|sha512)", name)
    pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
    return ["-" + digest[2], *(pss if digest[1] == "rsa-pss" else [])] if digest else []


# --- SSHSIG (OpenSSH PROTOCOL.sshsig): only what ssh-keygen does not tell


def wire(data: bytes, count: int) -> list[bytes]:
    """So many strings of SSH wire format (RFC 4251 5), and what is left over."""
    found, at = [], 0
    for _ in range(count):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        expect(at + 4 <= end <= len(data), "SSH wire format cut off")
        found.append(data[at + 4 : end])
        at = end
    return [*found, data[at:]]


class Seal(NamedTuple):
    """What an SSHSIG says of itself: its key, and the flags that a FIDO authenticator signed."""

    key: bytes
    key_type: str
    flags: int


def read_seal(data: bytes, where: str) -> Seal:
    lines = data.split(b"\n")
    try:
        blob = base64.b64decode(b"".join(lines[1:-2]), validate=True)
        body = base64.b64encode(blob)
        rows = b"\n".join(body[at : at + 70] for at in range(0, len(body), 70))
        spelled = b"-----BEGIN SSH SIGNATURE-----\n" + rows + b"\n-----END SSH SIGNATURE-----\n"
        expect(spelled == data and blob[:10] == b"SSHSIG\0\0\0\1", "not an SSHSIG as ssh-keygen writes it")
        key, _namespace, reserved, _digest, signature, rest = wire(blob[10:], 5)
        key_type = wire(key, 1)[0].decode()
        expect(key_type in SSH_KEYS and not reserved and not rest, "not an SSHSIG of a kind that is known")
        kind, _, flags = wire(signature, 2)  # flags, and a counter of four bytes
        if kind == WEBAUTHN:
            *_, rest = wire(flags[5:], 3)  # origin, client data, extensions
            flags = flags[:5]
        expect(not rest, "bytes after the signature")
        expect(
            len(flags) == (5 if key_type in FIDO else 0), "its flags, which a FIDO token adds and no other"
        )
        return Seal(key, key_type, flags[0] if flags else 0)
    except (ValueError, IndexError, Bad) as error:
        raise Bad(f"{where}: {error}") from None


# --- What the files of a bundle say


class Key(NamedTuple):
    person: str
    kept_in: str
    use: str
    valid_until: str
    text: str
    blob: bytes


class Gate(NamedTuple):
    """A gate line, the statement that it names, and the signature beside it."""

    line: dict[str, Any]
    says: dict[str, str]
    path: str
    seal: Seal

    @property
    def seq(self) -> int:
        return int(self.line["seq"])


class Closing(NamedTuple):
    says: dict[str, str]
    people: list[tuple[str, str, str]]
    files: dict[str, str]


def read_statement(data: bytes, where: str) -> dict[str, str]:
    """The fields of a gate statement, which has exactly one spelling."""
    try:
        rows = [row.split(": ", 1) for row in data.decode().split("\n")[1:-1]]
        says = {row[0]: row[1] for row in rows}
    except (UnicodeDecodeError, IndexError):
        raise Bad(f"{where}: not a ceremony's statement") from None
    text = "".join(f"{key}: {says.get(key)}\n" for key in STATEMENT_KEYS)
    expect(data == f"{STATEMENT_TITLE}\n{text}".encode(), f"{where}: not a statement in its one spelling")
    expect(says["gate"] in ("open", "approve", "pause", "resume", "candidate", "close"), f"{where}: its gate")
    expect(says["mode"] in ("rehearsal", "production"), f"{where}: its mode")
    expect(
        all(HEX.fullmatch(says[key]) for key in says if key[:6] in ("script", "roster")), f"{where}: a digest"
    )
    bare = says["subject"] == says["subject-sha256"] == "-"
    named = PATH.fullmatch(says["subject"]) and HEX.fullmatch(says["subject-sha256"])
    expect(bare or named, f"{where}: its subject")
    expect(NUMBER.fullmatch(says["transcript-sequence"]), f"{where}: its transcript-sequence")
    expect(re.fullmatch(r"[0-9a-f]{32}", says["nonce"]), f"{where}: its nonce")
    expect(says["role"] in ROLES and SLUG.fullmatch(says["person"]), f"{where}: its person or role")
    moment(says["time"], where)
    return says


def read_closing(data: bytes) -> Closing:
    """The closing statement: fields, people, and the list that `sha256sum -c` reads."""
    try:
        rows = data.decode().split("\n")
        gap = rows.index("")
        says = dict(row.split(": ", 1) for row in rows[1 : 1 + len(CLOSING_KEYS)])
        people = [tuple(row.split(" ", 3)[1:]) for row in rows[1 + len(CLOSING_KEYS) : gap]]
        files = {row[66:]: row[:64] for row in rows[gap + 1 : -1]}
    except (ValueError, UnicodeDecodeError):
        raise Bad("closing.txt: not a closing statement") from None
    expect(all(len(person) == 3 for person in people), "closing.txt: its people")
    text = [CLOSING_TITLE, *(f"{key}: {says.get(key)}" for key in CLOSING_KEYS)]
    text += [f"person: {role} {person} {name}" for role, person, name in people]
    text += ["", *(f"{digest}  {path}" for path, digest in sorted(files.items())), ""]
    expect("\n".join(text).encode() == data, "closing.txt: not in its one spelling")
    expect(people == sorted(set(people)), "closing.txt: its people are not in order")
    expect(
        all(PATH.fullmatch(path) and HEX.fullmatch(files[path]) for path in files), "closing.txt: its files"
    )
    expect(
        says["outcome"] in OUTCOMES and says["mode"] in ("rehearsal", "production"),
        "closing.txt: its outcome",
    )
    expect(
        all(NUMBER.fullmatch(says[key]) for key in ("transcript-sequence", "deviations")),
        "closing.txt: a number",
    )
    return Closing(says, people, files)


def read_line(number: int, stored: bytes) -> dict[str, Any]:
    where = f"transcript.jsonl line {number}"
    line = read_json(stored, where)
    expect(isinstance(line, dict) and set(line) == LINE_KEYS, f"{where}: not the members of a line")
    expect(line["event"] in EVENTS and isinstance(line["data"], dict), f"{where}: an unknown event")
    expect(all(isinstance(line[key], str) for key in ("actor", "prev", "step")), f"{where}: a member's type")
    expect(
        type(line["seq"]) is int and type(line["mono_ms"]) is int and line["mono_ms"] >= 0,
        f"{where}: a number",
    )
    moment(line["utc"], where)
    return line


def roster_keys(roster: dict[str, Any], where: str) -> list[Key]:
    """Every key of a roster."""
    found = []
    try:
        for person in roster["persons"]:
            for key in person["keys"]:
                text, until = key["public_key"], key["valid_until"]
                blob = base64.b64decode(text.split(" ")[1], validate=True)
                expect(
                    text.split(" ") == [wire(blob, 1)[0].decode(), base64.b64encode(blob).decode()],
                    "a key",
                )
                found.append(Key(person["id"], key["kept_in"], key["use"], until, text, blob))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, Bad):
        raise Bad(f"{where}: a person or a key is not as a roster has it") from None
    return found


def signers_file(keys: list[Key], mode: str, namespace: str) -> bytes:
    """The OpenSSH file that these keys come to in a mode."""
    rows = []
    for key in keys:
        if mode == "rehearsal" or key.use == "production":
            until = re.sub("[^0-9Z]", "", key.valid_until)
            rows.append(f'{key.person} namespaces="{namespace}",valid-before="{until}" {key.text}\n')
    return "".join(rows).encode()


class Bundle:
    """The files of a bundle and what they say; a property raises `Bad` where a file is not as it must be."""

    def __init__(self, data: bytes, work: Path) -> None:
        self.sha256 = sha256(data)
        self.work = work
        self.files, self.archive_problems = read_tar(data)

    def file(self, path: str) -> bytes:
        expect(path in self.files, f"{path}: it is missing")
        return self.files[path]

    @cached_property
    def closing(self) -> Closing:
        return read_closing(self.file("closing.txt"))

    @property
    def mode(self) -> str:
        return self.closing.says["mode"]

    @cached_property
    def stored(self) -> list[bytes]:
        """The lines of the transcript as they lie there, without LF."""
        rows = self.file("transcript.jsonl").split(b"\n")
        expect(rows.pop() == b"" and rows, "transcript.jsonl: it does not end with a whole line")
        return rows

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """The transcript, once every line names the one before it."""
        lines, prev = [], sha256(self.file("script.toml"))
        for number, stored in enumerate(self.stored):
            lines.append(read_line(number, stored))
            where = f"transcript.jsonl line {number}"
            expect(lines[-1]["seq"] == number, f"{where}: its number is {lines[-1]['seq']}")
            before = f"line {number - 1}" if number else "the script"
            expect(lines[-1]["prev"] == prev, f"{where}: it does not name {before} as it stands here")
            prev = sha256(stored)
        return lines

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] in names]

    @cached_property
    def opened(self) -> dict[str, Any]:
        expect(self.lines[0]["event"] == "opened", "transcript.jsonl line 0: it does not open the ceremony")
        data: dict[str, Any] = self.lines[0]["data"]
        return data

    @cached_property
    def script(self) -> dict[str, Any]:
        if tomllib is None:
            raise CannotTell("reading script.toml takes Python 3.11 or later")
        try:
            script: dict[str, Any] = tomllib.loads(self.file("script.toml").decode())
        except (ValueError, RecursionError) as error:
            raise Bad(f"script.toml: {error}") from None
        steps = script.get("steps")
        expect(isinstance(steps, list) and steps, "script.toml: it has no steps")
        expect(all(isinstance(step.get("id"), str) for step in steps), "script.toml: a step without an id")
        return script

    @cached_property
    def steps(self) -> dict[str, dict[str, Any]]:
        return {step["id"]: step for step in self.script["steps"]}

    @property
    def roles(self) -> dict[str, dict[str, Any]]:
        return dict(self.script["roles"])

    @cached_property
    def roster(self) -> dict[str, Any]:
        roster = read_json(self.file("roster.json"), "roster.json")
        names = {"domain", "format", "groups", "persons", "previous", "sequence"}
        expect(isinstance(roster, dict) and set(roster) == names, "roster.json: its members")
        expect(roster["format"] == "ceremony-roster/v1", "roster.json: its format")
        return dict(roster)

    @property
    def namespace(self) -> str:
        return ("ceremony@" if self.mode == "production" else "ceremony-rehearsal@") + self.roster["domain"]

    @cached_property
    def keys(self) -> list[Key]:
        """Every key of the roster."""
        return roster_keys(self.roster, "roster.json")

    @cached_property
    def allowed_signers(self) -> bytes:
        """The OpenSSH file that the roster comes to in this mode."""
        return signers_file(self.keys, self.mode, self.namespace)

    def candidates(self, gate: Gate) -> list[Key]:
        """The keys of the new roster that a candidate signed over."""
        path = gate.says["subject"]
        roster = read_json(self.file(path), path)
        expect(isinstance(roster, dict) and isinstance(roster.get("persons"), list), f"{path}: not a roster")
        return roster_keys(roster, path)

    @cached_property
    def gates(self) -> list[Gate]:
        found = []
        for line in self.events("gate"):
            where, data = f"transcript.jsonl line {line['seq']}", line["data"]
            path, signature = data.get("statement"), data.get("signature")
            expect(isinstance(path, str) and signature == f"{path}.sig", f"{where}: it names no statement")
            says = read_statement(self.file(path), path)
            found.append(Gate(line, says, path, read_seal(self.file(signature), signature)))
        return found

    @cached_property
    def signed(self) -> list[Signed]:
        """Every certificate, CRL and CSR in the bundle."""
        return [each for path, data in sorted(self.files.items()) for each in self.cut(path, data)]

    def cut(self, path: str, data: bytes) -> list[Signed]:
        """The signed object in a file; what was brought in has no suffix that tells what it is."""
        try:
            if path.endswith((".cer", ".crl", ".csr")) or path.startswith("inputs/"):
                return [read_signed(path, data)]
        except Bad:
            if not path.startswith("inputs/"):
                raise
        return []

    @cached_property
    def public_keys(self) -> dict[str, bytes]:
        """Every public key that is in a certificate, in a CSR or bare, by the SHA-256 of its SPKI."""
        bare = [
            data for path, data in self.files.items() if re.fullmatch(r"(challenges|keys)/[^/]+\.spki", path)
        ]
        return {sha256(spki): spki for spki in [*bare, *(each.spki for each in self.signed)] if spki}

    @cached_property
    def signatures(self) -> list[dict[str, Any]]:
        """The lines that tell of a signature by an HSM."""
        return [line for line in self.events("effect") if "input_sha256" in line["data"]]

    def run(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run one of the two programs; nothing of the caller's environment reaches it."""
        if shutil.which(command[0]) is None:
            raise CannotTell(f"{command[0]} is not installed")
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}
        try:
            return subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                timeout=60,
                check=False,
                cwd=self.work,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotTell(f"{command[0]} could not be run: {error}") from None

    def put(self, name: str, data: bytes) -> str:
        (self.work / name).write_bytes(data)
        return name

    def verifies(self, spki: bytes, algorithm: bytes | str, message: bytes, signature: bytes) -> bool:
        """Whether a signature is one, as openssl judges; the algorithm in DER, or as transcripts call it."""
        key = self.put("key.der", spki)
        files = self.put("message", message), self.put("signature", signature)
        pem = self.run("openssl", "pkey", "-pubin", "-inform", "DER", "-in", key, "-out", "key.pem")
        if pem.returncode:
            raise CannotTell("openssl cannot read a public key of this bundle")
        options = (mechanism_options if isinstance(algorithm, str) else algorithm_options)(algorithm)
        command = ["dgst", *options, "-verify", "key.pem", "-signature", files[1], files[0]]
        if not options:
            command = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", files[0]]
            command += ["-sigfile", files[1]]
        return self.run("openssl", *command).returncode == 0


# --- The checks: each yields what is wrong, in words that begin with the file it is in


def check_archive(b: Bundle) -> Iterator[str]:
    yield from b.archive_problems


def check_files(b: Bundle) -> Iterator[str]:
    listed = b.closing.files
    for path in sorted(b.files.keys() | listed.keys()):
        unlisted = path in ("transcript.jsonl", "closing.txt") or re.match(r"gates/[0-9]{4,}-close-", path)
        if path not in b.files:
            yield f"{path}: closing.txt lists it, and it is missing"
        elif path in listed and sha256(b.files[path]) != listed[path]:
            yield f"{path}: closing.txt has another SHA-256 for it"
        elif bool(unlisted) == (path in listed):
            yield f"{path}: closing.txt {'must not list' if unlisted else 'does not list'} it"


def check_transcript(b: Bundle) -> Iterator[str]:
    for before, line in zip(b.lines, b.lines[1:]):
        where = f"transcript.jsonl line {line['seq']}"
        if line["utc"] < before["utc"]:
            yield f"{where}: its utc is before that of the line before"
        if line["mono_ms"] < before["mono_ms"] and line["event"] != "resume":
            yield f"{where}: its mono_ms is before that of the line before"


def check_grammar(b: Bundle) -> Iterator[str]:
    """opened, then steps one at a time, each done before the next begins, then the close and the end."""
    current, stopped, tries = "", False, dict[str, int]()
    last, closing = len(b.lines) - 1, int(b.closing.says["transcript-sequence"])
    for line, before in zip(b.lines, [{"event": ""}, *b.lines]):
        event, step, seq, data = line["event"], line["step"], line["seq"], line["data"]
        where, closes = f"transcript.jsonl line {seq}", seq == closing or data.get("gate") == "close"
        if (event == "opened") != (seq == 0) or (event == "end") != (seq == last):
            yield f"{where}: {event} is out of its place"
        if stopped and event not in ("resume", "stopped", "end") and not closes:
            yield f"{where}: {event} after the ceremony had stopped"
        if event == "resume":
            current = ""
        if event == "begin":
            yield from begin_problems(line, tries)
            broken_off = current == step and before["event"] != "begin"
            if current and not broken_off and not (closes and stopped):
                yield f"{where}: {step} begins while {current} is not done"
            current = step
        if event in ("effect", "done") and current != step:
            yield f"{where}: {event} of {step} without its begin"
        if event == "done":
            current = ""
        stopped = event == "stopped" or (stopped and event != "resume")


def begin_problems(line: dict[str, Any], tries: dict[str, int]) -> Iterator[str]:
    where, step, data = f"transcript.jsonl line {line['seq']}", line["step"], line["data"]
    tries[step] = tries.get(step, 0) + 1
    if data.get("attempt") != tries[step]:
        yield f"{where}: it is attempt {tries[step]} of {step} and says {data.get('attempt')}"
    if sha256(canonical(data.get("intent"))) != data.get("intent_sha256"):
        yield f"{where}: intent_sha256 is not that of its intent"


def check_opening(b: Bundle) -> Iterator[str]:
    """Script, roster, opening line, closing statement and manifest speak of one ceremony."""
    closing, opened = b.closing.says, b.opened
    truth = {"script_sha256": sha256(b.file("script.toml")), "roster_sha256": sha256(b.file("roster.json"))}
    truth.update({key: closing[key] for key in ("ceremony", "kind", "mode")})
    if (
        closing["script-sha256"] != truth["script_sha256"]
        or closing["roster-sha256"] != truth["roster_sha256"]
    ):
        yield "closing.txt: it names another script or another roster"
    manifest = read_json(b.file("manifest.json"), "manifest.json")
    expect(isinstance(manifest, dict), "manifest.json: not an object")
    for key, value in truth.items():
        if opened.get(key) != value:
            yield f"transcript.jsonl line 0: its {key} is not {value}"
        if key != "roster_sha256" and manifest.get(key) != value:
            yield f"manifest.json: its {key} is not {value}"
    if opened.get("format") != "ceremony-transcript/v1":
        yield "transcript.jsonl line 0: an unknown format"


def check_script(b: Bundle) -> Iterator[str]:
    """The script is the one that was run: its names, its pins, its roles, its steps in their order."""
    script, says = b.script, b.closing.says
    named = [script.get(key) for key in ("format", "id", "kind")]
    if named != ["ceremony/v2", says["ceremony"], says["kind"]]:
        yield "script.toml: it is not the script of this ceremony"
    pin = script.get("roster", {}).get("sha256")
    if pin != sha256(b.file("roster.json")) and (pin or b.mode == "production"):
        yield "roster.json: it is not the roster that script.toml names"
    for each in script.get("inputs", []):
        path, wanted = f"inputs/{each['name']}", each.get("sha256")
        if path not in b.files or (wanted != sha256(b.files[path]) and (wanted or b.mode == "production")):
            yield f"{path}: it is not the input that script.toml asks for"
    roles = {role: (each["group"], each.get("quorum", 1)) for role, each in b.roles.items()}
    if roles != {role: (each["group"], each["quorum"]) for role, each in b.opened["roles"].items()}:
        yield "transcript.jsonl line 0: its roles are not those of script.toml"
    if (
        not all(type(quorum) is int and quorum >= 1 for _, quorum in roles.values())
        or not set(roles) <= ROLES
    ):
        yield "script.toml: its roles"
    begun = dict.fromkeys(line["step"] for line in b.events("begin"))
    if list(begun) != [step for step in b.steps if step in begun]:
        yield "transcript.jsonl: its steps are not those of script.toml, in that order"
    if says["outcome"] in GOOD:
        done = {line["step"] for line in b.events("done")} | {gate.says["step"] for gate in b.gates}
        for step in sorted(b.steps.keys() - done):
            yield f"transcript.jsonl: step {step} of script.toml was not done"
        for each in script.get("outputs", []):
            if each.get("required", True) and each["path"] not in b.files:
                yield f"{each['path']}: script.toml requires it, and it is missing"


def check_limits(b: Bundle) -> Iterator[str]:
    """Deviations and hours stay within what the script allows; devices are those that it binds."""
    policy, began = b.script.get("policy", {}), moment(b.lines[0]["utc"], "transcript.jsonl line 0")
    if len(b.events("deviation")) > policy.get("max_deviations", 5) and b.closing.says["outcome"] in GOOD:
        yield "transcript.jsonl: it has more deviations than script.toml allows"
    for line in b.events("begin"):
        late = moment(line["utc"], "transcript.jsonl") - began > 3600 * policy.get("max_hours", 8)
        if late and line["seq"] != int(b.closing.says["transcript-sequence"]):
            yield f"transcript.jsonl line {line['seq']}: {line['step']} begins after the hours of script.toml"
    for line in b.events("done"):
        for alias, found in line["data"].get("result", {}).get("binding", {}).items():
            wanted = b.script.get("hsm", {}).get(alias, {})
            if any(wanted.get(key) not in (None, found[key]) for key in ("label", "serial")):
                yield f"transcript.jsonl line {line['seq']}: device {alias} is not the one of script.toml"
            if found["label"].startswith("REHEARSAL") != (b.mode == "rehearsal"):
                yield f"transcript.jsonl line {line['seq']}: device {alias} is not one for a {b.mode}"


def check_named_files(b: Bundle) -> Iterator[str]:
    """Every file that a line names is this file; where a step was done again, as its last line names it."""
    named: dict[str, tuple[int, str]] = {}
    for line in b.lines:
        data, seq = line["data"], line["seq"]
        if line["event"] == "opened":
            named.update({f"inputs/{name}": (seq, digest) for name, digest in data.get("inputs", {}).items()})
        if line["event"] == "done":
            named.update({path: (seq, digest) for path, digest in data.get("files", {}).items()})
        if "input_sha256" in data:
            named[str(data.get("input"))] = (seq, data["input_sha256"])
    for path, (seq, digest) in sorted(named.items()):
        if path not in b.files or sha256(b.files[path]) != digest:
            yield f"{path}: it is not the file that transcript.jsonl line {seq} names"
    made = (
        "authorities/",
        "certificates/",
        "crls/",
        "csrs/",
        "inputs/",
        "keys/",
        "lints/",
        "responders/",
        "tbs/",
    )
    for path in sorted(b.files.keys() - named.keys()):
        if path.startswith(made) and b.closing.says["outcome"] in GOOD:
            yield f"{path}: no line of transcript.jsonl names it"


KEPT_FOR = {
    "fido": {"production", "rehearsal"},
    "smartcard": {"production", "rehearsal"},
    "file": {"rehearsal"},
}


def check_roster(b: Bundle) -> Iterator[str]:
    ids = [person["id"] for person in b.roster["persons"]]
    blobs = [key.blob for key in b.keys]
    if len(set(ids)) != len(ids) or not all(SLUG.fullmatch(each) for each in ids) or ROLES & set(ids):
        yield "roster.json: a person's id is there twice, or is no id"
    if len(set(blobs)) != len(blobs):
        yield "roster.json: one key is there twice"
    if not re.fullmatch(r"[a-z0-9.-]+", b.roster["domain"]):
        yield "roster.json: its domain"
    for group, members in b.roster["groups"].items():
        if len(set(members)) != len(members) or not set(members) <= set(ids):
            yield f"roster.json: group {group} names somebody twice, or nobody"
    for key in b.keys:
        kind = key.text.split(" ")[0]
        moment(key.valid_until, "roster.json")
        if kind not in SSH_KEYS or (kind in FIDO) != (key.kept_in == "fido"):
            yield f"roster.json: a key of {key.person} is not of the kind that is kept in {key.kept_in}"
        if key.use not in KEPT_FOR.get(key.kept_in, set()):
            yield f"roster.json: a key of {key.person} kept in {key.kept_in} cannot be for {key.use}"
    sequence, previous = b.roster["sequence"], b.roster["previous"]
    linked = previous is None if sequence == 1 else HEX.fullmatch(str(previous))
    if type(sequence) is not int or sequence < 1 or not linked:
        yield "roster.json: its sequence and its previous roster disagree"


def check_allowed_signers(b: Bundle) -> Iterator[str]:
    if b.file("allowed-signers") != b.allowed_signers:
        yield "allowed-signers: it is not what roster.json comes to"


def check_statements(b: Bundle) -> Iterator[str]:
    """Each statement is about this ceremony, this place in the transcript and these bytes."""
    seen: set[str] = set()
    for gate in b.gates:
        yield from place_problems(b, gate)
        yield from subject_problems(b, gate)
        if gate.says["nonce"] in seen:
            yield f"{gate.path}: its nonce was used before"
        seen.add(gate.says["nonce"])
    known = {path for gate in b.gates for path in (gate.path, f"{gate.path}.sig")}
    for path in sorted(b.files.keys() - known):
        if path.startswith("gates/") and not was_interrupted(b, path):
            yield f"{path}: no line of transcript.jsonl names it"


def place_problems(b: Bundle, gate: Gate) -> Iterator[str]:
    """A statement names the ceremony and the line that its signer saw last; only its gate lies between."""
    says, data, seq = gate.says, gate.line["data"], gate.seq
    shared = ("ceremony", "kind", "mode", "script-sha256", "roster-sha256")
    if [says[key] for key in shared] != [b.closing.says[key] for key in shared]:
        yield f"{gate.path}: it is a statement of another ceremony, mode, script or roster"
    ours = [gate.line["step"], gate.line["actor"], data.get("gate"), data.get("person"), data.get("role")]
    if ours != [says[key] for key in ("step", "person", "gate", "person", "role")]:
        yield f"{gate.path}: transcript.jsonl line {seq} says something else of it"
    saw = int(says["transcript-sequence"])
    if gate.path != f"gates/{saw:04d}-{says['gate']}-{says['role']}-{says['person']}.txt":
        yield f"{gate.path}: it is not named after what it says"
    between = [(line["event"], line["step"], line["data"].get("gate")) for line in b.lines[saw + 1 : seq]]
    same = set(between) <= {("gate", says["step"], says["gate"])}
    if saw >= seq or not same or sha256(b.stored[saw]) != says["transcript-sha256"]:
        yield f"{gate.path}: the transcript that it was signed over is not the one before line {seq}"
    elif not b.lines[saw]["utc"] <= says["time"] <= gate.line["utc"]:
        yield f"{gate.path}: its time is not between those of transcript.jsonl lines {saw} and {seq}"


def subject_problems(b: Bundle, gate: Gate) -> Iterator[str]:
    """What a statement is about lies in the bundle; its own digests are those of its line."""
    says, data = gate.says, gate.line["data"]
    digests = [sha256(b.file(gate.path)), sha256(b.file(f"{gate.path}.sig")), sha256(gate.seal.key)]
    for what, found in zip(("statement", "signature", "key"), digests):
        if data.get(f"{what}_sha256") != found:
            path = f"{gate.path}.sig" if what == "signature" else gate.path
            yield f"{path}: transcript.jsonl line {gate.seq} has another {what}_sha256"
    subject = says["subject"]
    if says["gate"] == "close" and gate.seq < int(b.closing.says["transcript-sequence"]):
        return  # of a close that was broken off: closing.txt was written anew, and everyone signed that
    if subject != "-" and (subject not in b.files or sha256(b.files[subject]) != says["subject-sha256"]):
        yield f"{subject}: it is not what {says['person']} signed in {gate.path}"
    wanted = {"close": subject == "closing.txt", "approve": subject != "-", "candidate": subject != "-"}
    if not wanted.get(says["gate"], subject == "-"):
        yield f"{gate.path}: {subject} is not what this gate is about"


def was_interrupted(b: Bundle, path: str) -> bool:
    """Whether a statement was left behind where the ceremony was broken off, before a line could name it."""
    seq = int(path[6:10]) + 1 if re.match(r"gates/[0-9]{4}-", path) else len(b.lines)
    return seq < len(b.lines) and b.lines[seq]["event"] in ("resume", "pause", "deviation", "stopped")


def check_signatures(b: Bundle) -> Iterator[str]:
    """Every gate signature, by ssh-keygen; and what that does not tell: touch, PIN, where the key is kept."""
    for gate in b.gates:
        says = gate.says
        keys = b.candidates(gate) if says["gate"] == "candidate" else b.keys
        b.put("allowed-signers", signers_file(keys, b.mode, b.namespace))
        own = [key for key in keys if key.blob == gate.seal.key and key.person == says["person"]]
        wrong_use = own and (b.mode, own[0].use) == ("production", "rehearsal")
        if not own or wrong_use or own[0].valid_until < says["time"]:
            yield f"{gate.path}.sig: it is not by a key that {says['person']} may use here at that time"
        elif b.mode == "production" and own[0].kept_in == "file":
            yield f"{gate.path}.sig: it is by a key in a file, which is for rehearsals only"
        if gate.seal.key_type in FIDO and gate.seal.flags & (TOUCH | PIN) != TOUCH | PIN:
            yield f"{gate.path}.sig: the token was not touched, or its PIN was not asked"
        b.put("seal.sig", b.file(f"{gate.path}.sig"))
        command = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-f",
            "allowed-signers",
            "-I",
            says["person"],
            "-n",
            b.namespace,
        ]
        command += ["-s", "seal.sig", "-O", "verify-time=" + re.sub("[^0-9Z]", "", says["time"])]
        if b.run(*command, stdin=b.file(gate.path)).returncode:
            yield f"{gate.path}.sig: by ssh-keygen it is not {says['person']}'s signature of {gate.path}"


def signed_by(gates: list[Gate]) -> dict[str, set[str]]:
    """Role -> the distinct persons who signed in it."""
    roles: dict[str, set[str]] = {}
    for gate in gates:
        roles.setdefault(gate.says["role"], set()).add(gate.says["person"])
    return roles


class Held(NamedTuple):
    """A gate step that was done: at which line, and the signatures over one subject since its last begin."""

    seq: int
    step: str
    subject: str
    gates: list[Gate]


def held(b: Bundle) -> Iterator[Held]:
    start = 0
    for line in b.lines:
        if line["event"] in ("begin", "resume"):
            start = line["seq"]
        if line["event"] != "done":
            continue
        here = [
            gate for gate in b.gates if start < gate.seq < line["seq"] and gate.says["step"] == line["step"]
        ]
        for subject in sorted({gate.says["subject-sha256"] for gate in here}):
            gates = [gate for gate in here if gate.says["subject-sha256"] == subject]
            yield Held(line["seq"], line["step"], subject, gates)


def lacking(b: Bundle, wanted: list[str], gates: list[Gate]) -> list[str]:
    """The roles in which too few distinct persons signed."""
    found = signed_by(gates)
    return [role for role in wanted if len(found.get(role, ())) < b.roles[role].get("quorum", 1)]


def check_quorums(b: Bundle) -> Iterator[str]:
    """Every step that people have to sign was signed by enough of them, counted as persons."""
    done: dict[str, int] = {}
    for seq, step, _, gates in held(b):
        done[step] = seq
        for role in lacking(b, b.steps[step].get("sign_by", []), gates):
            yield f"transcript.jsonl line {seq}: step {step} was done without the quorum of {role}"
    for line in b.events("done"):
        if b.steps[line["step"]].get("sign_by") and line["step"] not in done:
            yield f"transcript.jsonl line {line['seq']}: step {line['step']} was done without any signature"
    for gate in b.gates:
        kind, step = gate.says["gate"], b.steps.get(gate.says["step"], {})
        if kind in ("open", "approve", "close") and step.get("do") != f"gate.{kind}":
            yield f"{gate.path}: script.toml has no such gate at step {gate.says['step']}"
        about = f"tbs/{step.get('subject')}.tbs"
        if step.get("paper"):
            about = f"papers/{step['paper']}.{gate.says['subject'].rpartition('.')[2]}"
        if kind == "approve" and gate.says["subject"] != about:
            yield f"{gate.path}: it approves {gate.says['subject']} where script.toml has {about}"
    yield from resume_problems(b, [gate for gate in b.gates if gate.says["gate"] == "open"], done)


def resume_problems(b: Bundle, opens: list[Gate], done: dict[str, int]) -> Iterator[str]:
    """Once a ceremony is open, nothing goes on after a resume before all roles have signed again."""
    opened = min(
        [done[gate.says["step"]] for gate in opens if gate.says["step"] in done], default=len(b.lines)
    )
    for line in b.events("resume"):
        after = [each for each in b.events("begin", "effect", "done", "resume") if each["seq"] > line["seq"]]
        if line["seq"] < opened or not after or after[0]["event"] == "resume":
            continue
        intent = after[0]["data"].get("intent") or {}
        if after[0]["step"] == list(b.steps)[-1] and intent.get("outcome") not in GOOD:
            continue  # it was aborted, as not everybody came back
        here = [gate for gate in b.gates if line["seq"] < gate.seq < after[0]["seq"]]
        for role in lacking(
            b, sorted(signed_by(opens)), [each for each in here if each.says["gate"] == "resume"]
        ):
            yield f"transcript.jsonl line {line['seq']}: it was resumed without the quorum of {role}"


def check_persons(b: Bundle) -> Iterator[str]:
    """Nobody has two roles that must be apart; everybody is in the group of his role."""
    names = {person["id"]: person["name"] for person in b.roster["persons"]}
    acting = signed_by([gate for gate in b.gates if gate.says["gate"] != "candidate"])
    for role, person, name in b.closing.people:
        acting.setdefault(role, set()).add(person)
        if names.get(person) != name:
            yield f"closing.txt: roster.json has no {person} of the name {name}"
    apart = {*APART, *(("external-witness", role) for role in ROLES - {"external-witness"})}
    apart |= {(role, other) for role, each in b.roles.items() for other in each.get("distinct_from", [])}
    for role, other in sorted(apart):
        for person in sorted(acting.get(role, set()) & acting.get(other, set())):
            yield f"transcript.jsonl: {person} acted as {role} and as {other}"
    for role, persons in sorted(acting.items()):
        members = b.roster["groups"].get(b.roles.get(role, {}).get("group"), [])
        for person in sorted(persons - set(members)):
            yield f"roster.json: {person}, who acted as {role}, is not in the group of that role"


def check_closing(b: Bundle) -> Iterator[str]:
    """The close covers the whole transcript, and everyone who was there signed it."""
    says, lines = b.closing.says, b.lines
    head = int(says["transcript-sequence"])
    if head >= len(lines) or sha256(b.stored[head]) != says["transcript-sha256"]:
        yield f"closing.txt: transcript.jsonl line {head} is not the one that it was written after"
        return
    tail = [line["data"].get("gate", line["event"]) for line in lines[head + 1 :]]
    if tail != ["close"] * (len(tail) - 1) + ["end"]:
        yield f"transcript.jsonl: after line {head} there is more than signatures of the close and the end"
    if not lines[head]["utc"] <= says["time"] <= lines[-1]["utc"]:
        yield "closing.txt: its time is not between its transcript and the end"
    # Nobody signs the last line: it must say nothing that could be changed unseen.
    end = lines[-1]
    if (end["utc"], end["mono_ms"], end["actor"]) != (lines[-2]["utc"], lines[-2]["mono_ms"], "engine"):
        yield f"transcript.jsonl line {end['seq']}: it does not repeat the time of the line before it"
    if end["step"] not in ("-", list(b.steps)[-1]):
        yield f"transcript.jsonl line {end['seq']}: the ceremony does not end at its close"
    if lines[-1]["data"] != {"outcome": says["outcome"]}:
        yield "transcript.jsonl: its end has another outcome than closing.txt"
    yield from outcome_problems(b)
    present = {(role, person) for role, person, _ in b.closing.people}
    closes = [gate for gate in b.gates if gate.seq > head]
    for role, person in sorted(present - {(gate.says["role"], gate.says["person"]) for gate in closes}):
        yield f"closing.txt: {person} ({role}) was there and did not sign it"
    yield from presence_problems(b, present)
    wanted = next(iter(reversed(b.steps.values()))).get("sign_by", [])
    for role in lacking(b, wanted, closes) if says["outcome"] in GOOD else ():
        yield f"closing.txt: it was closed without the quorum of {role}"


def presence_problems(b: Bundle, present: set[tuple[str, str]]) -> Iterator[str]:
    """Who signs anything has signed the opening or the last resume; these are the people of closing.txt."""
    there: set[tuple[str, str]] = set()
    gates = {gate.seq: gate for gate in b.gates}
    for line in b.events("resume", "gate"):
        if line["event"] == "resume":
            there.clear()
            continue
        gate = gates[line["seq"]]
        signer = gate.says["role"], gate.says["person"]
        if gate.says["gate"] in ("open", "resume"):
            there.add(signer)
        elif gate.says["gate"] == "close" and not there and b.closing.says["outcome"] not in GOOD:
            continue  # a ceremony that ended before it was opened
        elif gate.says["gate"] != "candidate" and signer not in there:
            yield f"{gate.path}: {signer[1]} had not signed the opening or the last resume as {signer[0]}"
    if not any(gate.says["gate"] == "close" for gate in b.gates):
        yield "closing.txt: nobody signed it"
    for role, person in sorted(there - present):
        yield f"closing.txt: it leaves out {person}, who was there as {role}"
    for role, person in sorted(present - there):
        yield f"closing.txt: it names {person}, who was not there as {role}"


def outcome_problems(b: Bundle) -> Iterator[str]:
    """The outcome and the number of deviations are those that the transcript shows."""
    deviations, outcome = len(b.events("deviation")), b.closing.says["outcome"]
    if int(b.closing.says["deviations"]) != deviations:
        yield f"closing.txt: it tells of another number of deviations than transcript.jsonl, {deviations}"
    if outcome in GOOD and (outcome == "completed") != (deviations == 0):
        yield f"closing.txt: the outcome {outcome} is not that of {deviations} deviations"
    last = b.events("stopped", "resume")[-1:]
    if outcome in GOOD and last and last[0]["event"] == "stopped":
        yield f"closing.txt: the outcome {outcome} of a ceremony that had stopped"
    touched = any(line["data"].get("effect") == "once" for line in b.events("begin"))
    if outcome == "aborted-clean" and touched:
        yield "closing.txt: the outcome aborted-clean of a ceremony in which a token was asked for something"


def check_next_roster(b: Bundle) -> Iterator[str]:
    """A new roster follows the one in force, and whoever has a new key in it signed over it with that key."""
    for line in b.events("done"):
        step = b.steps[line["step"]]
        if step.get("do") != "roster.prove":
            continue
        path = f"papers/{step['roster']}.json"
        new = read_json(b.file(path), path)
        follows = (b.roster["sequence"] + 1, sha256(b.file("roster.json")), b.roster["domain"])
        if (new.get("sequence"), new.get("previous"), new.get("domain")) != follows:
            yield f"{path}: it does not follow roster.json"
        proven = {
            (gate.says["person"], gate.seal.key)
            for gate in b.gates
            if gate.says["gate"] == "candidate" and gate.says["subject-sha256"] == sha256(b.file(path))
        }
        added = {(key.person, key.blob) for key in roster_keys(new, path)}
        added -= {(key.person, key.blob) for key in b.keys}
        for person, _ in sorted(added - proven):
            yield f"{path}: {person} has not proven possession of a new key"


STRONG = {"private": True, "sensitive": True, "always_sensitive": True, "local": True}
SEALED = {"extractable": False, "never_extractable": True}
BACKED_UP = {"extractable": True, "wrap_with_trusted": True}


def check_keys(b: Bundle) -> Iterator[str]:
    """What the tokens said of the keys that they made: nobody could ever have read them."""
    keys = read_json(b.file("keys.json"), "keys.json")
    expect(
        isinstance(keys, list) and all(isinstance(key, dict) for key in keys), "keys.json: not a list of keys"
    )
    backed_up = {
        each.get("label") for each in b.script.get("keys", {}).values() if each.get("backup") == "wrap"
    }
    told = {line["data"]["key"]["spki_sha256"]: line for line in b.events("effect") if "key" in line["data"]}
    for key in keys:
        label = key["label"]
        wanted = {**STRONG, **(BACKED_UP if label in backed_up else SEALED)}
        for name in sorted(name for name, value in wanted.items() if key.get(name) is not value):
            yield f"keys.json: key {label} is not as it must be: {name} is {key.get(name)}"
        line = told.pop(key["spki_sha256"], None)
        if line is None or line["data"]["key"] != key or line["step"] != key["step"]:
            yield f"keys.json: transcript.jsonl does not tell of key {label} as it stands here"
        attempt = key.get("attempt", 1)
        name = f"{b.closing.says['ceremony']}\n{key['step']}\n" + (f"{attempt}\n" if attempt > 1 else "")
        if key["id"] != sha256(name.encode())[:32]:
            yield f"keys.json: the id of key {label} does not come from its ceremony and step"
        if key["token"]["label"].startswith("REHEARSAL") != (b.mode == "rehearsal"):
            yield f"keys.json: key {label} lies in a token that is not one for a {b.mode}"
    for digest, line in sorted(told.items()):
        yield f"keys.json: the key {digest} of transcript.jsonl line {line['seq']} is missing"


def check_inventories(b: Bundle) -> Iterator[str]:
    """Between two inventories of a device exactly the objects came and went that the script allows."""
    seen: dict[str, list[Any]] = {}
    labels = {alias: key["label"] for alias, key in b.script.get("keys", {}).items()}
    made = {key["label"]: key["id"] for key in read_json(b.file("keys.json"), "keys.json")}
    for step in dict.fromkeys(line["step"] for line in b.events("done")):
        script = b.steps[step]
        if script.get("do") != "hsm.inventory":
            continue
        path = f"evidence/{step}.json"
        found = read_json(b.file(path), path)
        if len(found) != script.get("objects", len(found)):
            yield f"{path}: {len(found)} objects where script.toml has {script['objects']}"
        before = seen.get(script["hsm"], found)
        seen[script["hsm"]] = found
        came = [each for each in found if each not in before]
        gone = [each for each in before if each not in found]
        wanted = [{labels[alias] for alias in script.get(name, [])} for name in ("added", "removed")]
        if before is not found and [{each["label"] for each in some} for some in (came, gone)] != wanted:
            yield f"{path}: other objects came or went than script.toml allows"
        private = [each for each in came if each.get("class", "private-key") == "private-key"]
        for each in private:
            twins = [other for other in private if other["label"] == each["label"]]
            if len(twins) > 1 or each["id"] != made.get(each["label"], each["id"]):
                yield f"{path}: there is another key {each['label']} than the one in keys.json"


def key_uri(key: dict[str, Any]) -> str:
    """Where a key is (RFC 7512 2.3), as the manifest names it."""
    token, label = quote(key["token"]["label"], safe=""), quote(key["label"], safe="")
    octets = re.sub("..", lambda pair: "%" + pair[0].upper(), key["id"])
    return f"pkcs11:token={token};object={label};id={octets};type=private"


def check_manifest(b: Bundle) -> Iterator[str]:
    """What a server would install is all that was made, each under the key that it was made for."""
    manifest = read_json(b.file("manifest.json"), "manifest.json")
    keys = {key_uri(key): key["spki_sha256"] for key in read_json(b.file("keys.json"), "keys.json")}
    certified = [*manifest["authorities"], *manifest["responders"]]
    named = {each["certificate"] for each in certified}
    named |= {each["path"] for each in [*manifest["certificates"], *manifest["crls"]]}
    rooms = ("authorities/", "certificates/", "crls/", "responders/")
    for path in sorted(named ^ {path for path in b.files if path.startswith(rooms)}):
        yield f"{path}: it is in manifest.json or in the bundle, and not in both"
    own = {each.path: sha256(each.spki) for each in b.signed if each.kind == "certificate"}
    for each in certified:
        if each["key_uri"] is not None and keys.get(each["key_uri"]) != own.get(each["certificate"], "-"):
            yield f"manifest.json: the key that it gives for {each['certificate']} is another's"
    log = manifest["log"]
    if log is not None and keys.get(log["key_uri"], "-") not in verifier_key(log["origin"], log["vkey"]):
        yield "manifest.json: the log's verifier key is not that of its key in keys.json"


def verifier_key(origin: str, vkey: str) -> list[str]:
    """The SHA-256 of the SPKI in a C2SP verifier key, Ed25519 or ECDSA; none if it is not of this name."""
    name, number, text = vkey.split("+", 2)
    body = base64.b64decode(text, validate=True)
    ed25519 = body[:1] == b"\x01"
    spki = bytes.fromhex("302a300506032b6570032100") + body[1:] if ed25519 else body[1:]
    ours = sha256(name.encode() + b"\n" + body) if ed25519 else sha256(spki)
    return [sha256(spki)] if name == origin and ours[:8] == number else []


def check_hsm_signatures(b: Bundle) -> Iterator[str]:
    """The HSM signed what a quorum had approved, nothing else, and once in each step that signs."""
    approved: dict[str, int] = {}
    for seq, step, subject, gates in held(b):
        wanted = b.steps[step].get("sign_by", [])
        if wanted and not lacking(b, wanted, gates) and all(gate.says["gate"] == "approve" for gate in gates):
            approved.setdefault(subject, seq)
    for line in b.signatures:
        if b.steps[line["step"]].get("do") in CHALLENGING:
            yield from challenge_problems(b, line)
            continue
        if approved.get(line["data"]["input_sha256"], line["seq"]) >= line["seq"]:
            where, path = f"transcript.jsonl line {line['seq']}", line["data"].get("input")
            yield f"{where}: the HSM signed {path} before a quorum had approved these bytes"
        yield from signature_problems(b, line)
    done = {line["step"] for line in b.events("done")}
    signing = [line["step"] for line in b.signatures if line["data"].get("released") is not False]
    counted = sorted(step for step in signing if step in done)
    steps = [step for step in sorted(done) if b.steps[step].get("do") in SIGNING]
    if counted != steps:
        yield f"transcript.jsonl: the HSM signed {len(counted)} times in {len(steps)} steps that sign"


SIGNING = {"document.sign"}
CHALLENGING = {"key.backup", "key.restore"}
CHALLENGE_TITLE = b"sealkeeper ceremony challenge v1\n"


def challenge_problems(b: Bundle, line: dict[str, Any]) -> Iterator[str]:
    """A restored key proves itself over a text that is nothing else; the signature is never released."""
    where, data = f"transcript.jsonl line {line['seq']}", line["data"]
    path = f"challenges/{line['step']}.txt"
    message = b.file(path)
    if (
        data.get("input") != path
        or data.get("released") is not False
        or data["input_sha256"] != sha256(message)
    ):
        yield f"{where}: it is not a signature of the challenge {path}"
    if not message.startswith(CHALLENGE_TITLE):
        yield f"{path}: it is not a challenge"
    spki = b.public_keys.get(str(data.get("key_spki_sha256")))
    if spki is None:
        raise CannotTell(f"{where}: the public key that signed {path} is not in the bundle")
    if not b.verifies(spki, str(data.get("mechanism")), message, bytes.fromhex(data["output"])):
        yield f"{where}: its output is not a signature of {path}"


def signature_problems(b: Bundle, line: dict[str, Any]) -> Iterator[str]:
    """The input is the file of this step, the output a signature of it, and the product holds both."""
    where, data, step = f"transcript.jsonl line {line['seq']}", line["data"], b.steps[line["step"]]
    path = f"tbs/{step.get('subject')}.tbs"
    begun = [each["data"]["intent"] for each in b.events("begin") if each["step"] == line["step"]]
    if data.get("input") != path or any(each.get("tbs_sha256") != data["input_sha256"] for each in begun):
        yield f"{where}: it is not about {path} as its step had begun with it"
    message, output = b.file(path), bytes.fromhex(data["output"])
    products = [each for each in b.signed if each.tbs == message and each.signature == output]
    finished = any(each["step"] == line["step"] for each in b.events("done"))
    if finished and bool(products) != (data.get("released") is True):
        yield f"{where}: its signature of {path} {'is' if products else 'is not'} in a file of the bundle"
    spki = b.public_keys.get(str(data.get("key_spki_sha256")))
    if spki is None:
        raise CannotTell(f"{where}: the public key that signed {path} is not in the bundle")
    algorithm = products[0].algorithm if products else read_tbs(path, message).algorithm
    if algorithm and not b.verifies(spki, algorithm, message, output):
        yield f"{where}: its output is not a signature of {path}"


def check_products(b: Bundle) -> Iterator[str]:
    """No certificate, CRL or CSR is in the bundle that neither came in nor was signed here."""
    outputs = {line["data"]["output"] for line in b.signatures if line["data"].get("released")}
    brought = {sha256(data) for path, data in b.files.items() if path.startswith("inputs/")}
    for each in b.signed:
        proof = each.kind == "csr" and b.verifies(each.spki, each.algorithm, each.tbs, each.signature)
        if each.kind == "csr" and not proof:
            yield f"{each.path}: it is not signed by its own key"
        known = each.signature.hex() in outputs or sha256(b.files[each.path]) in brought
        if not known and not each.path.startswith("inputs/") and not proof:
            yield f"{each.path}: no signature in transcript.jsonl made it"


def common_name(name: bytes) -> bytes:
    """The value of the last commonName (2.5.4.3) in a DER name."""
    found = b""
    for relative in parts(name, whole(name)):
        for attribute in parts(name, relative):
            oid, value = parts(name, attribute)
            if name[oid.body : oid.end] == b"\x55\x04\x03":
                found = name[value.body : value.end]
    return found


def check_mode(b: Bundle) -> Iterator[str]:
    """What a rehearsal made says so, and nothing of it is in production."""
    for each in b.signed:
        marked = common_name(each.subject).startswith(b"REHEARSAL ") if each.subject else None
        if (
            each.kind == "certificate"
            and not each.path.startswith("inputs/")
            and marked != (b.mode == "rehearsal")
        ):
            yield f"{each.path}: its common name is not one of a {b.mode}"


def pem(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


def check_chains(b: Bundle) -> Iterator[str]:
    """Every certificate leads to a root in the bundle, or to one brought in, as openssl judges strictly."""
    certificates = [each for each in b.signed if each.kind == "certificate"]
    own = [each for each in certificates if each.issuer == each.subject]
    roots = [each for each in own if b.verifies(each.spki, each.algorithm, each.tbs, each.signature)]
    anchors = roots + [each for each in certificates if each.path.startswith("inputs/")]
    b.put("anchors.pem", b"".join(pem(each.der) for each in anchors))
    b.put("others.pem", b"".join(pem(each.der) for each in certificates))
    if certificates and not anchors:
        raise CannotTell("no root certificate is in the bundle")
    at = max([moment(b.closing.says["time"], "closing.txt"), *(each.times[0] for each in certificates)])
    for each in certificates:
        b.put("leaf.pem", pem(each.der))
        command = ["verify", "-x509_strict", "-partial_chain", "-auth_level", "2", "-attime", str(at)]
        command += [
            "-no-CApath",
            "-no-CAstore",
            "-CAfile",
            "anchors.pem",
            "-untrusted",
            "others.pem",
            "leaf.pem",
        ]
        run = b.run("openssl", *command)
        if run.returncode:
            yield f"{each.path}: {run.stderr.decode(errors='replace').strip().splitlines()[1:2]}"
        issuers = [other.times for other in certificates if other.subject == each.issuer]
        # A link certificate tells of an old key, from before its issuer was (RFC 4210 4.4, OldWithNew).
        links = each.path.startswith("certificates/")
        if issuers and not any(
            (links or begin <= each.times[0]) and each.times[1] <= end for begin, end in issuers
        ):
            yield f"{each.path}: it is valid for longer than its issuer"
    serials = {each.der: (each.issuer, each.numbers) for each in certificates}
    for each in certificates:
        if list(serials.values()).count((each.issuer, each.numbers)) > 1:
            yield f"{each.path}: another certificate of its issuer has its serial number"


CRL_NUMBER = b"\x55\x1d\x14"


def crl_number(each: Signed) -> int:
    raw = each.extensions.get(CRL_NUMBER, b"")
    expect(raw, f"{each.path}: it has no CRL number")
    return int.from_bytes(raw[2:], "big")


def check_crls(b: Bundle) -> Iterator[str]:
    """A CRL is its issuer's, has the next number, and forgets nobody whom the one before it had."""
    crls = [each for each in b.signed if each.kind == "crl"]
    issuers = [each for each in b.signed if each.kind == "certificate"]
    for crl in crls:
        keys = {each.spki for each in issuers if each.subject == crl.issuer}
        if not keys:
            raise CannotTell(f"{crl.path}: no certificate of its issuer is in the bundle")
        if not any(b.verifies(key, crl.algorithm, crl.tbs, crl.signature) for key in sorted(keys)):
            yield f"{crl.path}: it is not signed by its issuer"
        if crl.path.startswith("inputs/"):
            continue
        before = [each for each in crls if each.path.startswith("inputs/") and each.issuer == crl.issuer]
        for each in before:
            if crl_number(crl) != crl_number(each) + 1 or crl.times[0] <= each.times[0]:
                yield f"{crl.path}: it does not come next after {each.path}"
            if not set(each.numbers) <= set(crl.numbers):
                yield f"{crl.path}: it has lost entries of {each.path}"
        if not before and crl_number(crl) < 1:
            yield f"{crl.path}: its number is not above 0"


CHECKS: tuple[tuple[str, Callable[[Bundle], Iterator[str]]], ...] = (
    ("the archive is in its one spelling", check_archive),
    ("closing.txt lists every file with its SHA-256", check_files),
    ("every line of the transcript names the one before it, and no clock goes back", check_transcript),
    ("the transcript tells a ceremony from its opening to its end", check_grammar),
    ("script, roster, transcript, manifest and closing are of one ceremony", check_opening),
    ("the script is what was done", check_script),
    ("limits and devices are those of the script", check_limits),
    ("the files that the transcript names are these", check_named_files),
    ("the roster keeps its rules", check_roster),
    ("allowed-signers is what the roster comes to", check_allowed_signers),
    ("statements say what the transcript says, each once", check_statements),
    ("the signatures of the people are theirs", check_signatures),
    ("quorums of distinct persons", check_quorums),
    ("persons keep to their roles", check_persons),
    ("a new roster follows the old one, and its new keys are proven", check_next_roster),
    ("the close covers everything and everyone signed it", check_closing),
    ("keys were made in tokens and could never leave them", check_keys),
    ("devices hold what the script lets them hold", check_inventories),
    ("the HSM signed exactly what was approved", check_hsm_signatures),
    ("certificates, CRLs and CSRs come from these signatures", check_products),
    ("rehearsal and production are kept apart", check_mode),
    ("the manifest names what was made", check_manifest),
    ("certificates chain to a root", check_chains),
    ("CRLs are their issuers', in sequence", check_crls),
)


class Finding(NamedTuple):
    state: str
    check: str
    detail: str


def judge(bundle: Bundle) -> Iterator[Finding]:
    """Run every check; what one has found broken keeps others from telling, which is not good either."""
    told: set[str] = set()
    for title, check in CHECKS:
        clean = True
        try:
            for problem in check(bundle):
                clean = False
                yield Finding("BAD", title, problem)
        except CannotTell as reason:
            clean = False
            yield Finding("?", title, str(reason))
        except Bad as reason:
            clean = False
            yield Finding("?" if str(reason) in told else "BAD", title, str(reason))
            told.add(str(reason))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            clean = False
            yield Finding("BAD", title, f"something has not the form that it must have ({error!r})")
        if clean:
            yield Finding("ok", title, "")


def pinned(bundle: Bundle, archive: str | None, roster: str | None) -> Iterator[Finding]:
    """What the auditor knows from elsewhere."""
    pairs = (
        ("the archive", archive, bundle.sha256),
        ("roster.json", roster, sha256(bundle.files.get("roster.json", b""))),
    )
    for name, wanted, found in pairs:
        if wanted is not None:
            good = wanted.lower() == found
            yield Finding(
                "ok" if good else "BAD", f"{name} has the SHA-256 given", "" if good else f"it is {found}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify the bundle of a key ceremony.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--sha256", metavar="HEX", help="what the archive's SHA-256 must be")
    parser.add_argument("--roster-sha256", metavar="HEX", help="what the roster's SHA-256 must be")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    try:
        with options.bundle.open("rb") as file:
            data = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        print(f"?   the bundle can be read: {error.strerror}")
        return 2
    if len(data) > MAX_BUNDLE_BYTES:
        print(f"BAD the bundle is not over {MAX_BUNDLE_BYTES} bytes")
        return 1
    with tempfile.TemporaryDirectory() as work:
        bundle = Bundle(data, Path(work))
        findings = [*pinned(bundle, options.sha256, options.roster_sha256), *judge(bundle)]
    states = {finding.state for finding in findings}
    code = 1 if "BAD" in states else 2 if "?" in states else 0
    if options.json:
        result = {
            "sha256": bundle.sha256,
            "exit": code,
            "findings": [finding._asdict() for finding in findings],
        }
        print(json.dumps(result, indent=1))
    else:
        for state, check, detail in findings:
            print(f"{state:3} {check}{': ' if detail else ''}{printable(detail)}")
        roster = sha256(bundle.files.get("roster.json", b""))
        print(f"{('good', 'BAD', 'cannot tell')[code]}: archive {bundle.sha256}, roster {roster}")
    return code


def printable(text: str) -> str:
    """Text of the bundle must not reach the terminal as anything but text."""
    return "".join(each if each.isprintable() else "?" for each in text)[:400]


if __name__ == "__main__":
    sys.exit(main())
