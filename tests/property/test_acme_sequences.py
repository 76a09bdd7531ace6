"""No sequence of calls, and no change to a CSR, yields a certificate without its own authorization."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ca_server.core.acme.resources import Status
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.services.acme.accounts import deactivate_account
from ca_server.services.acme.authorizations import deactivate_authorization
from ca_server.services.acme.orders import find_order
from tests import world
from tests.fixtures.ordering import csr_for

NAMES = ("a.example.com", "b.example.com")
KEY = ec.generate_private_key(ec.SECP256R1())
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

OTHER_NAMES = (
    x509.DNSName("c.example.com"),
    x509.DNSName("*.a.example.com"),
    x509.DNSName("a.example.com.evil.test"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
    x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
    x509.RFC822Name("root@a.example.com"),
    x509.UniformResourceIdentifier("https://a.example.com/"),
    x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example.com")])),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a"),
)
ATTRIBUTES = (
    x509.NameAttribute(NameOID.COMMON_NAME, "c.example.com"),
    x509.NameAttribute(NameOID.COMMON_NAME, "192.0.2.7"),
    x509.NameAttribute(NameOID.COMMON_NAME, "*.example.com"),
    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Somebody Else"),
    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Root"),
    x509.NameAttribute(NameOID.EMAIL_ADDRESS, "root@a.example.com"),
    x509.NameAttribute(NameOID.SERIAL_NUMBER, "1"),
    x509.NameAttribute(NameOID.USER_ID, "root"),
    x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
)
GRANTED = tuple(x509.DNSName(name) for name in NAMES)

names = st.one_of(
    # Something more, in any place.
    st.tuples(st.permutations(GRANTED), st.lists(st.sampled_from(OTHER_NAMES), min_size=1, max_size=3)).map(
        lambda both: [*both[0], *both[1]]
    ),
    # Something less, or something else instead.
    st.lists(st.sampled_from((*GRANTED[:1], *OTHER_NAMES)), max_size=2),
)


def _csr(general_names, attributes):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(list(attributes)))
    if general_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names), critical=False)
    return parse_csr(builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER))


def _refused(ordering, account, order, general_names, attributes) -> None:
    with pytest.raises(CaError) as caught:
        ordering.finalize(account, order, _csr(general_names, attributes))
    assert caught.value.kind is Kind.BAD_CSR
    assert find_order(ordering.issuing.context, account, order.id).status is Status.READY


@pytest.fixture
def ready(ordering):
    account = ordering.account()
    return account, ordering.prove(account, ordering.order(account, *NAMES))


@FEW
@given(general_names=names)
def test_r5_no_other_set_of_names_is_certified(ordering, ready, general_names):
    """R5: added, dropped and changed names of every GeneralName type."""
    account, _ = ready
    # An order for each: one that had many CSRs refused takes no more.
    _refused(ordering, account, ordering.order(account, *NAMES), general_names, ())


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda each: f"{each.oid._name}={each.value}")
def test_r5_no_other_subject_is_certified(ordering, ready, attribute):
    """R5: every subject attribute that the names did not prove."""
    _refused(ordering, *ready, GRANTED, (attribute,))
    assert world.check(ordering.issuing.context.database)["certificates"] == 0


steps = st.lists(
    st.tuples(
        st.sampled_from(("order", "prove", "fail", "end", "leave", "finalize", "finalize", "wait")),
        st.integers(0, 2),
        st.sampled_from((("a.example.com",), ("b.example.com",), NAMES, ("*.example.com",))),
    ),
    min_size=3,
    max_size=14,
)


class _Clients:
    """Two accounts that do whatever they are told, in any order."""

    def __init__(self, ordering) -> None:
        self.ordering = ordering
        self.accounts = [ordering.account(), ordering.account()]
        self.orders = []

    def take(self, step: str, number: int, wanted: tuple[str, ...]) -> None:
        context = self.ordering.issuing.context
        if step == "order":
            account = self.accounts[number % 2]
            self.orders.append((account, self.ordering.order(account, *wanted)))
        elif step == "wait":
            self.ordering.issuing.clock.advance(hours=3 * number)
        elif step == "leave":
            deactivate_account(context, self.accounts[1])
        elif self.orders:
            owner, order = self.orders[number % len(self.orders)]
            # Now and then somebody else than the owner tries.
            account = self.accounts[0] if number == 2 else owner
            if step == "finalize":
                self.ordering.finalize(account, order, csr_for(*wanted))
            elif step == "end":
                deactivate_authorization(context, account, order.authorization_ids[0])
            else:
                outcome = "success" if step == "prove" else "failure"
                for each in self.ordering.authorizations(account, order):
                    if each.status is Status.PENDING:
                        self.ordering.settle(account, each, outcome)


@FEW
@given(script=steps)
@example([("order", 0, NAMES), ("prove", 0, NAMES), ("finalize", 0, NAMES), ("finalize", 0, NAMES)])
@example([("order", 1, NAMES), ("prove", 0, NAMES), ("leave", 0, NAMES), ("finalize", 0, NAMES)])
def test_no_sequence_of_calls_gives_an_unproven_certificate(ordering, script):
    clients = _Clients(ordering)
    for step in script:
        with contextlib.suppress(CaError):
            clients.take(*step)
    world.check(ordering.issuing.context.database)
