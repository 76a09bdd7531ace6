"""CAA values and dns-persist-01 records are strangers' text: they are read, or refused in our own words."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.acme.caa import CaaQuestion, CaaRecord, why_forbidden
from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.issue_value import parse_issue_value
from ca_server.core.acme.persist import PersistQuestion, find_permission, parse_record
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.errors import CaError

US = "ca.example"
ACCOUNT = "https://ca.example/acme/p/account/1"
QUESTION = CaaQuestion((US,), ACCOUNT, ChallengeType.HTTP_01, wildcard=False)
PERSIST = PersistQuestion((US,), "example.org", ACCOUNT, "t" * 43, whole_domain=False)

# Much of what makes up a record, in any order, and any other text.
PIECES = st.sampled_from(
    [
        *(
            US,
            "other.example",
            ";",
            "=",
            " ",
            "\t",
            "accounturi",
            ACCOUNT,
            "policy",
            "wildcard",
            "persistUntil",
        ),
        *("validationmethods", "http-01", ",", "1900000000", "-", ".", "\x00", "\u00e9", "*"),
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60)
LATIN = st.binary(max_size=80).map(lambda each: each.decode("latin-1"))


@given(TEXTS | LATIN)
def test_parsers_raise_nothing_but_our_own_error(text):
    for parse in (parse_issue_value, parse_record):
        with contextlib.suppress(CaError):
            parse(text)
    with contextlib.suppress(ValidationFailed):
        find_permission([text], PERSIST, 1_800_000_000)


@given(
    st.lists(st.builds(CaaRecord, st.integers(0, 255), st.sampled_from(["issue", "issuewild", "x"]), TEXTS))
)
def test_caa_always_comes_to_a_judgement(records):
    assert why_forbidden(records, QUESTION) != ""


@given(TEXTS.filter(lambda text: US not in text.lower()), st.lists(TEXTS))
def test_nobody_is_let_in_by_a_property_that_does_not_name_us(text, others):
    records = [CaaRecord(0, "issue", text)]
    assert why_forbidden(records, QUESTION) is not None
    records += [CaaRecord(0, "iodef", each) for each in others]
    assert why_forbidden(records, QUESTION) is not None


@given(
    st.sampled_from(["", " ", "\t"]),
    st.lists(st.tuples(st.sampled_from(["a", "b1", "c-d"]), st.just("v")), max_size=4),
)
def test_blanks_where_the_grammar_has_them_change_nothing(blank, parameters):
    text = f"{blank};{blank}".join([US, *(f"{tag}{blank}={blank}{value}" for tag, value in parameters)])
    assert parse_issue_value(blank + text + blank) == parse_issue_value(
        text.replace(blank, "") if blank else text
    )
