"""What a client does to show a capability, and how that is seen from outside. The same for every client."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.conformance.acme.capabilities import Capability
from tests.conformance.acme.clients.client import Client, Issued, Wish
from tests.conformance.acme.clients.scripted import Scripted
from tests.conformance.acme.lab import Lab
from tests.fixtures.commands import run

EXTERNAL_PROFILE = "tls-server-eab"
SHORT_PROFILE = "tls-server-short"
SHORT_LIFETIME = timedelta(days=7)


class Case:
    """One cell of the matrix: a client that is to show a capability, under names of its own."""

    def __init__(self, lab: Lab, kind: type[Client], capability: Capability) -> None:
        self.lab = lab
        self._kind = kind
        slug = f"{kind.__name__}-{capability.name}".lower().replace("_", "-")
        self._folder = lab.folder / "clients" / slug
        self.name = f"{slug}.example.test"
        self.wish = Wish((self.name,))

    def client(self, home: str = "first", **options: object) -> Client:
        """An installation of the client with an account of its own."""
        return self._kind(self.lab, self._folder / home, **options)

    def scripted(self, home: str = "first") -> Scripted:
        client = self.client(home)
        assert isinstance(client, Scripted)
        return client

    def issue(self, client: Client, wish: Wish | None = None) -> Issued:
        """A good certificate, kept where the client does not overwrite it."""
        wish = wish or self.wish
        issued = client.issue(wish).copy(self._folder / f"issued-{len(list(self._folder.iterdir()))}")
        self.lab.verify(issued, wish.names)
        return issued

    def require_revoked(self, issued: Issued, reasons: set[str]) -> None:
        record = self.lab.record(issued.leaf)
        assert record["status"] == "revoked"
        assert record["revocation_reason"] in reasons

    def make_csr(self) -> Wish:
        """A request of the user's own, with a key that the client never sees."""
        csr = self._folder / "own.csr"
        self._folder.mkdir(parents=True, exist_ok=True)
        run(
            *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-nodes"),
            *("-keyout", str(self._folder / "own.key"), "-out", str(csr), "-subj", f"/CN={self.name}"),
            *("-addext", f"subjectAltName=DNS:{self.name}"),
        )
        return Wish((self.name,), csr=csr)


def register(case: Case) -> None:
    client = case.client()
    client.register()
    assert f"mailto:{client.email}" in case.lab.contacts()


def bind(case: Case) -> None:
    key = case.lab.new_external_key(EXTERNAL_PROFILE, "dns:**.example.test")
    client = case.client(profile=EXTERNAL_PROFILE, external_key=key)
    issued = case.issue(client)
    assert case.lab.record(issued.leaf)["profile"] == EXTERNAL_PROFILE


def update(case: Case) -> None:
    client = case.client()
    old = client.email
    client.register()
    client.update(f"new-{old}")
    assert f"mailto:new-{old}" in case.lab.contacts()
    assert f"mailto:{old}" not in case.lab.contacts()


def prove_by(challenge: str) -> Callable[[Case], None]:
    def story(case: Case) -> None:
        case.issue(case.client(), Wish((case.name,), challenge))

    return story


def wildcard(case: Case) -> None:
    case.issue(case.client(), Wish((case.name, f"*.{case.name}"), "dns-01"))


def address(case: Case) -> None:
    client = case.client()
    case.issue(client, Wish((client.address,)))


def own_csr(case: Case) -> None:
    issued = case.issue(case.client(), case.make_csr())
    assert issued.leaf.public_key().key_size == 384


def profile(case: Case) -> None:
    client = case.client()
    leaf = case.issue(client, Wish((case.name,), profile=SHORT_PROFILE)).leaf
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < SHORT_LIFETIME
    assert case.lab.record(leaf)["profile"] == SHORT_PROFILE


def every_profile(case: Case) -> None:
    """Each profile that the directory lists and that is open to everybody."""
    client = case.client()
    for listed in case.lab.fetch_directory("tls-server")["meta"]["profiles"]:
        if listed != EXTERNAL_PROFILE:
            # What a profile is for is not checked here: some are no TLS server's.
            record = case.lab.record(client.issue(Wish((case.name,), profile=listed)).leaf)
            assert record["profile"] == listed
            assert record["names"] == [f"dns:{case.name}"]


def renew(case: Case) -> None:
    client = case.client()
    first = case.issue(client)
    second = client.renew(case.wish)
    case.lab.verify(second, case.wish.names)
    assert second.leaf.serial_number != first.leaf.serial_number


def renew_when_told(case: Case) -> None:
    client = case.client()
    first = case.issue(client)
    case.lab.flag_for_renewal(first.leaf)
    second = client.renew_when_told(case.wish)
    case.lab.verify(second, case.wish.names)
    assert second.leaf.serial_number != first.leaf.serial_number


def change_key(case: Case) -> None:
    client = case.client()
    case.issue(client)
    client.change_key()
    case.issue(client, Wish((f"later.{case.name}",)))


def revoke_by_account(case: Case) -> None:
    client = case.client()
    issued = case.issue(client)
    client.revoke(issued)
    case.require_revoked(issued, {"superseded", "unspecified"})


def revoke_by_other(case: Case) -> None:
    """Another account that has proven all the names may revoke (RFC 8555 §7.6)."""
    issued = case.issue(case.client("owner"))
    other = case.client("other")
    case.issue(other)
    other.revoke(issued)
    case.require_revoked(issued, {"superseded", "unspecified"})


def revoke_by_key(case: Case) -> None:
    issued = case.issue(case.client("owner"))
    case.client("finder").revoke_by_key(issued)
    case.require_revoked(issued, {"superseded"})


def deactivate(case: Case) -> None:
    client = case.client()
    client.register()
    client.deactivate()
    assert f"mailto:{client.email}" in case.lab.contacts("deactivated")


# What only libraries can say.


def replaces(case: Case) -> None:
    client = case.scripted()
    first = case.issue(client)
    certid = client.ask("certid", certificate=str(first.chain_file))["certid"]
    order = {"identifiers": [_dns(case.name)], "replaces": certid}
    files = {name: str(client.home / f"second-{name}.pem") for name in ("chain", "key")}
    made = client.ask("order", members=order, challenge="http-01", files=files)
    assert made["order"]["replaces"] == certid


def pre_authorize(case: Case) -> None:
    client = case.scripted()
    client.register()
    made = client.ask("pre-authorize", identifier=_dns(case.name), challenge="dns-01")
    assert made["authorization"]["status"] == "valid"
    order = client.ask("order", members={"identifiers": [_dns(case.name)]})["order"]
    assert order["status"] == "ready"
    assert order["authorizations"] == [made["url"]]


def subdomains(case: Case) -> None:
    """One proof of the parent covers what is below it (RFC 9444)."""
    client = case.scripted()
    client.register()
    identifier = {**_dns(case.name), "subdomainAuthAllowed": True}
    made = client.ask("pre-authorize", identifier=identifier, challenge="dns-01")
    assert made["authorization"]["subdomainAuthAllowed"] is True
    case.issue(client, Wish((f"deep.below.{case.name}", f"side.{case.name}"), "none needed"))


def deactivate_authorization(case: Case) -> None:
    client = case.scripted()
    case.issue(client)
    before = client.ask("deactivate-authorization", names=[case.name])
    assert before["status"] == "deactivated"
    # The name must be proven anew: a deactivated authorization is not reused.
    case.issue(client)


def orders(case: Case) -> None:
    client = case.scripted()
    case.issue(client)
    case.issue(client)
    assert len(client.ask("orders")["orders"]) == 2


STORIES: dict[Capability, Callable[[Case], None]] = {
    Capability.REGISTER: register,
    Capability.EXTERNAL_ACCOUNT: bind,
    Capability.UPDATE: update,
    Capability.HTTP_01: prove_by("http-01"),
    Capability.DNS_01: prove_by("dns-01"),
    Capability.TLS_ALPN_01: prove_by("tls-alpn-01"),
    Capability.DNS_ACCOUNT_01: prove_by("dns-account-01"),
    Capability.DNS_PERSIST_01: prove_by("dns-persist-01"),
    Capability.WILDCARD: wildcard,
    Capability.ADDRESS: address,
    Capability.OWN_CSR: own_csr,
    Capability.PROFILE: profile,
    Capability.EVERY_PROFILE: every_profile,
    Capability.RENEW: renew,
    Capability.RENEWAL_INFO: renew_when_told,
    Capability.REPLACES: replaces,
    Capability.CHANGE_KEY: change_key,
    Capability.REVOKE_BY_ACCOUNT: revoke_by_account,
    Capability.REVOKE_BY_OTHER: revoke_by_other,
    Capability.REVOKE_BY_KEY: revoke_by_key,
    Capability.PRE_AUTHORIZE: pre_authorize,
    Capability.SUBDOMAINS: subdomains,
    Capability.DEACTIVATE_AUTHORIZATION: deactivate_authorization,
    Capability.ORDERS: orders,
    Capability.DEACTIVATE: deactivate,
}


def _dns(name: str) -> dict[str, str]:
    return {"type": "dns", "value": name}
