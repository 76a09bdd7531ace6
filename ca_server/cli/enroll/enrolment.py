"""A host's first certificate and its renewals: what to ask for, by what right, what to keep of the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ca_server.cli.enroll import folder as names
from ca_server.cli.enroll import trust
from ca_server.cli.enroll.est_client import ApprovalPending, Credentials, ESTClient
from ca_server.cli.enroll.files import PUBLIC, read_capped
from ca_server.cli.enroll.files import replace as replace_file
from ca_server.cli.enroll.folder import SIMPLE_ENROLL, SIMPLE_REENROLL, Folder, Request, Version
from ca_server.cli.enroll.hook import run_hook
from ca_server.cli.enroll.secret import read_secret
from ca_server.cli.enroll.settings import Settings
from ca_server.cli.private_keys import ClientKey, make_csr, make_subject
from ca_server.core.clock import Clock, to_epoch, to_text
from ca_server.core.errors import CaError, Kind

# How often the CA's certificates are read while no renewal is due, in seconds.
REFRESH_SECONDS = 24 * 3600
# Without --wait: how often to ask in all, and the longest pause between, in seconds.
ATTEMPTS, LONGEST_PAUSE = 3, 10
# With --wait: pauses are what the server says, within these bounds.
PAUSE, MIN_PAUSE, MAX_PAUSE = 30, 1, 3600

_AGAIN = {Kind.UNAVAILABLE, Kind.RATE_LIMITED}
_REFUSED = {Kind.POLICY_REFUSED, Kind.UNAUTHENTICATED}
# What another secret helps against.
_OF_SECRETS = {"ACCESS-NAME", "ACCESS-PROFILE", "EST-SECRET", "EST-SECRET-SPENT"}


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One run over a locked folder; `say` tells a person what happens, `sleep` waits for seconds.

    `anew` asks by the secret though there is a certificate; `early` renews though it is not due.
    """

    folder: Folder
    settings: Settings
    clock: Clock
    say: Callable[[str], None]
    anew: bool = False
    early: bool = False
    wait: bool = False
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> None:
        """Do what is due: finish a request or a hook, renew, refresh; or say that nothing is.

        Raises:
            ApprovalPending: people have to approve first.
            CaError: why there is no new certificate, and what to do.
        """
        current = self.folder.current()
        operation = self._operation(current)
        if operation is None:
            assert current is not None
            self.say(f"not due: {_describe(current.certificate())}")
            self._refresh(current)
        else:
            # Without them nothing is begun.
            credentials = self._credentials(operation, current)
            request = self._request(operation, current)
            self._install(request, self._answer(request, credentials, current))
        self._deploy()

    def _operation(self, current: Version | None) -> str | None:
        """What to ask the server for now, or nothing."""
        if current is None or self.anew:
            return SIMPLE_ENROLL
        certificate = current.certificate()
        now = self.clock.now()
        if now > certificate.not_valid_after_utc:
            self.say(f"the certificate ended at {to_text(certificate.not_valid_after_utc)}: enrolling anew")
            return SIMPLE_ENROLL
        pending = self.folder.request()
        if self.early or now >= renewal_at(certificate):
            return SIMPLE_REENROLL
        return None if pending is None else pending.operation

    def _request(self, operation: str, current: Version | None) -> Request:
        """The request under way if it asks for the same, else a new one, on the disk before it is sent."""
        settings = self.settings
        if operation == SIMPLE_REENROLL:
            assert current is not None
            certificate = current.certificate()
            subject, wanted = certificate.subject, names_of(certificate)
        else:
            subject, wanted = make_subject(settings.common_name), settings.general_names()
        pending = self.folder.request()
        if (
            pending is not None
            and pending.operation == operation
            and pending.csr.subject == subject
            and set(names_of(pending.csr)) == set(wanted)
        ):
            self.say("sending the request that an earlier run made")
            return pending
        key = self._key(operation, current)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        request = Request(operation, make_csr(key, wanted, subject).encode(), pem)
        self.folder.begin(request)
        return request

    def _key(self, operation: str, current: Version | None) -> ClientKey:
        if operation == SIMPLE_ENROLL or current is None or not self.settings.keep_key:
            return self.settings.make_key()
        key = load_pem_private_key(current.read(names.KEY), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
        return key

    def _answer(
        self, request: Request, credentials: Credentials, current: Version | None
    ) -> x509.Certificate:
        """Send the request until it is answered, and take out the certificate for its key."""
        csr = request.csr
        try:
            found = self._patiently(
                lambda: self._client().enroll(request.operation, csr.public_bytes(Encoding.DER), credentials)
            )
        except CaError as error:
            # A refused CSR is asked for again with a new key. The one exception is a secret that is not
            # accepted where nothing else is at hand: it may be the wrong file, and the right one may be
            # spent on this very CSR.
            if error.kind is Kind.POLICY_REFUSED or (
                error.kind is Kind.UNAUTHENTICATED and current is not None
            ):
                self.folder.discard()
            if error.kind in _REFUSED:
                told = "\n".join((error.detail, *_advice(request.operation, self.folder, error)))
                raise CaError(error.kind, told, violations=error.violations) from error
            raise
        for each in found:
            if trust.spki_of(each) == trust.spki_of(csr):
                return each
        raise CaError(Kind.INTERNAL, "the server's answer holds no certificate for the key of the request")

    def _credentials(self, operation: str, current: Version | None) -> Credentials:
        if operation == SIMPLE_REENROLL:
            assert current is not None
            return Credentials(certificate=(current.path / names.FULL_CHAIN, current.path / names.KEY))
        if self.settings.secret_file is None:
            raise CaError(
                Kind.UNAUTHENTICATED,
                "enrolling takes an enrolment secret: get one from your CA's people and give its file by"
                " --secret-file",
            )
        return Credentials(password=read_secret(Path(self.settings.secret_file), self.say))

    def _patiently(self, ask: Callable[[], tuple[x509.Certificate, ...]]) -> tuple[x509.Certificate, ...]:
        """Ask again while the server asks for patience: a little, or with `wait` as long as it takes."""
        attempt, said = 1, ""
        while True:
            try:
                return ask()
            except CaError as error:
                asked = error.retry_after
                if self.wait and (error.kind in _AGAIN or isinstance(error, ApprovalPending)):
                    pause = min(max(asked or PAUSE, MIN_PAUSE), MAX_PAUSE)
                elif error.kind in _AGAIN and attempt < ATTEMPTS and (asked or 0) <= LONGEST_PAUSE:
                    pause = asked or attempt
                else:
                    raise
                news = f"{error.detail}; asking again {'every' if self.wait else 'in'} {pause} seconds"
                if news != said:
                    self.say(news)
                said = news
                self.sleep(pause)
                attempt += 1

    def _install(self, request: Request, certificate: x509.Certificate) -> None:
        """Check what was issued, and serve it with its key, chain and roots."""
        if missing := set(names_of(request.csr)) - set(names_of(certificate)):
            raise CaError(
                Kind.INTERNAL, f"the certificate lacks names that were asked for: {sorted(map(str, missing))}"
            )
        offered = self._patiently(self._client().authority_certificates)
        anchors = self._refreshed_anchors(offered)
        chain = trust.chain_of(certificate, offered, anchors, self.clock.now())
        self._serve(request.key_pem, request.csr_pem, certificate, chain, anchors)
        state = self.folder.state()
        self.folder.remember(replace(state, checked_at=to_epoch(self.clock.now())))
        self.say(f"enrolled: {_describe(certificate)}")
        self.say(f"key, certificate and chain are in {self.folder.path}/current/")
        if self.clock.now() < certificate.not_valid_before_utc:
            self.say("the certificate is not valid yet by this host's clock: is the clock right?")

    def _serve(
        self,
        key: bytes,
        csr: bytes,
        certificate: x509.Certificate,
        chain: trust.Certificates,
        anchors: trust.Certificates,
    ) -> None:
        full = trust.pem_of((certificate, *chain)).encode()
        self.folder.install(
            {
                names.KEY: key,
                names.CSR: csr,
                names.CERTIFICATE: trust.pem_of([certificate]).encode(),
                names.CHAIN: trust.pem_of(chain).encode(),
                names.FULL_CHAIN: full,
                names.COMBINED: key + full,
                names.ROOT: trust.pem_of(anchors).encode(),
            }
        )

    def _refresh(self, current: Version) -> None:
        """Take over a new chain or root once a day; a server that is away is no reason to fail."""
        now = to_epoch(self.clock.now())
        state = self.folder.state()
        if now < state.checked_at + REFRESH_SECONDS:
            return
        try:
            offered = self._client().authority_certificates()
            anchors = self._refreshed_anchors(offered)
            certificate = current.certificate()
            chain = trust.chain_of(certificate, offered, anchors, self.clock.now())
        except CaError as error:
            self.say(f"chain and roots stay as they are, they cannot be read anew: {error.detail}")
            return
        self.folder.remember(replace(state, checked_at=now))
        same = current.read(names.CHAIN) == trust.pem_of(chain).encode()
        if same and current.read(names.ROOT) == trust.pem_of(anchors).encode():
            return
        self._serve(current.read(names.KEY), current.read(names.CSR), certificate, chain, anchors)
        self.say("took over the CA's new chain or root")

    def _refreshed_anchors(self, offered: trust.Certificates) -> trust.Certificates:
        file = self.folder.anchors_file
        anchors = trust.parse_anchors(read_capped(file), str(file))
        found = trust.with_new_roots(anchors, offered, self.clock.now())
        for root in offered:
            if trust.is_root(root) and root not in found:
                self.say(
                    f"the CA has a root that is not trusted here, {trust.fingerprint(root)}:"
                    " if its people confirm it, add it to the file of --root and give that again"
                )
        if found != anchors:
            replace_file(file, trust.pem_of(found).encode(), PUBLIC)
        return found

    def _deploy(self) -> None:
        """Run the hook for a version that it has not succeeded for yet."""
        current = self.folder.current()
        state = self.folder.state()
        if current is None or state.deployed == current.number:
            return
        if self.settings.hook is not None:
            self.say(f"running {self.settings.hook}")
            run_hook(self.settings.hook)
        self.folder.remember(replace(state, deployed=current.number))

    def _client(self) -> ESTClient:
        return ESTClient(self.settings.url, self.folder.anchors_file)


def renewal_at(certificate: x509.Certificate) -> datetime:
    """When to renew: at two thirds of the certificate's life."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 // 3


def names_of(value: x509.Certificate | x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """Its subject alternative names."""
    try:
        return list(value.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _describe(certificate: x509.Certificate) -> str:
    who = ", ".join(str(each.value) for each in names_of(certificate)) or certificate.subject.rfc4514_string()
    until, renewed = to_text(certificate.not_valid_after_utc), to_text(renewal_at(certificate))
    return f"{who} until {until}, to be renewed from {renewed}"


def _advice(operation: str, folder: Folder, error: CaError) -> Iterator[str]:
    """What a refusal's own words leave open."""
    if operation == SIMPLE_REENROLL:
        yield (
            "The certificate in use stays until its end. If it was revoked or may be renewed no more, get a"
            f" new enrolment secret: sealkeeper enroll --dir {folder.path} --anew --secret-file FILE"
        )
    elif _OF_SECRETS.intersection(error.rule_ids) or (
        error.kind is Kind.UNAUTHENTICATED and not error.rule_ids
    ):
        yield (
            "A secret is for one profile, for certain names, and most are for one use: ask your CA's people"
            " for one that fits, then run the same command with its --secret-file"
        )
