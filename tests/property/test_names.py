"""Names have one spelling, and patterns never say more of a name than the name itself."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import (
    Identifier,
    IdentifierType,
    identifier_of,
    make_identifier,
    parse_identifier,
    to_general_name,
)
from ca_server.core.name_patterns import matches, parse_pattern, touches

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
LAST_LABEL = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
DOMAIN = st.builds(
    lambda labels, last: ".".join([*labels, last]), st.lists(LABEL, min_size=1, max_size=3), LAST_LABEL
)
DNS = st.one_of(DOMAIN, DOMAIN.map("*.{}".format)).map(lambda name: Identifier(IdentifierType.DNS, name))
MAILBOX = st.tuples(LABEL, DOMAIN).map("@".join).map(lambda text: Identifier(IdentifierType.EMAIL, text))
# IPv6 addresses with an IPv4 inside are refused on purpose, and have a test of their own.
ADDRESS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6, network="2001:db8::/32")).map(
    lambda address: Identifier(IdentifierType.IP, str(address))
)
SPIFFE = st.builds(
    lambda domain, path: Identifier(IdentifierType.URI, "/".join([f"spiffe://{domain}", *path])),
    DOMAIN,
    st.lists(LABEL, max_size=3),
)
NAME = st.one_of(DNS, MAILBOX, ADDRESS, SPIFFE)
PATTERNS = ["dns:**", "dns:*.a.b", "ip:10.0.0.0/8", "email:*@**.b", "uri:spiffe://*/**", "*"]


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except CaError as refusal:
        return refusal


@given(st.sampled_from(IdentifierType), st.text(max_size=300))
@example(IdentifierType.DNS, "*." * 100 + "com")
@example(IdentifierType.URI, "spiffe://" + "/" * 200)
@example(IdentifierType.EMAIL, "@" * 200)
def test_any_text_is_a_name_or_refused(kind, text):
    outcome = attempt(make_identifier, kind, text)
    if isinstance(outcome, CaError):
        assert outcome.kind is Kind.REJECTED_IDENTIFIER
    else:
        assert make_identifier(kind, outcome.value) == outcome


@given(st.text(max_size=100))
def test_any_text_is_a_pattern_or_refused(text):
    outcome = attempt(parse_pattern, text)
    assert not isinstance(outcome, CaError) or outcome.rule_ids == ("NAME-PATTERN",)


@given(NAME)
def test_a_name_survives_a_certificate(identifier):
    assert parse_identifier(str(identifier)) == identifier
    assert identifier_of(to_general_name(identifier)) == identifier


@given(DNS, DOMAIN)
def test_a_name_fits_patterns_made_of_itself_and_no_stranger(identifier, other):
    _, _, rest = identifier.value.partition(".")
    assert matches(identifier, "*")
    assert matches(identifier, "dns:**")
    assert matches(identifier, f"dns:*.{rest}")
    assert matches(identifier, f"dns:**.{rest}")
    assume(not identifier.value.endswith(f".{other}"))
    assert not matches(identifier, f"dns:**.{other}")


@given(NAME, st.sampled_from(PATTERNS))
def test_whatever_is_allowed_can_be_denied(identifier, pattern):
    assert touches(identifier, pattern) or not matches(identifier, pattern)


@given(DOMAIN, LABEL)
def test_r9_denying_a_host_denies_every_wildcard_over_it(domain, host):
    wildcard = Identifier(IdentifierType.DNS, f"*.{domain}")
    assert touches(wildcard, f"dns:{host}.{domain}")
    assert not matches(wildcard, f"dns:{host}.{domain}")
