"""Contacts: one address a URI, and nothing that a mail program would take for more (RFC 8555 §7.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.acme.contacts import contact_violations


@pytest.mark.parametrize(
    "contact",
    [
        "mailto:a@example.com",
        "mailto:first.last+acme@mail.example.com",
        "MAILTO:root@localhost",
        "mailto:o'brien@xn--bcher-kva.example",
        "mailto:" + "a" * 64 + "@example.com",
    ],
)
def test_one_address_is_a_contact(contact):
    assert contact_violations([contact]) == []


@pytest.mark.parametrize(
    ("contact", "rule"),
    [
        ("tel:+12025551212", "ACME-CONTACT-SCHEME"),
        ("https://example.com/", "ACME-CONTACT-SCHEME"),
        ("a@example.com", "ACME-CONTACT"),
        ("", "ACME-CONTACT"),
        (":a@example.com", "ACME-CONTACT"),
        ("mailto:", "ACME-CONTACT"),
        ("mailto:a", "ACME-CONTACT"),
        ("mailto:@example.com", "ACME-CONTACT"),
        ("mailto:a@", "ACME-CONTACT"),
        ("mailto:a@example.com?subject=x", "ACME-CONTACT"),
        ("mailto:a@example.com,b@example.com", "ACME-CONTACT"),
        ("mailto:a@b@example.com", "ACME-CONTACT"),
        ("mailto:a%2Cb@example.com", "ACME-CONTACT"),
        ("mailto:a b@example.com", "ACME-CONTACT"),
        ("mailto: a@example.com", "ACME-CONTACT"),
        ("mailto:a@example.com\r\nBcc: b@example.com", "ACME-CONTACT"),
        ("mailto:a@example.com\n", "ACME-CONTACT"),
        ("mailto:.a@example.com", "ACME-CONTACT"),
        ("mailto:a..b@example.com", "ACME-CONTACT"),
        ("mailto:a@exa_mple..com", "ACME-CONTACT"),
        ("mailto:a@*.example.com", "ACME-CONTACT"),
        ("mailto:a@bücher.example", "ACME-CONTACT"),
        ("mailto:" + "a" * 65 + "@example.com", "ACME-CONTACT"),
        ("mailto:a@" + "b." * 125 + "example", "ACME-CONTACT"),
    ],
)
def test_whatever_else_is_refused_at_its_place(contact, rule):
    found = contact_violations(["mailto:good@example.com", contact])
    assert [(each.rule_id, each.pointer) for each in found] == [(rule, "/contact/1")]


def test_there_are_ten_contacts_at_most():
    assert contact_violations(["mailto:a@example.com"] * 10) == []
    found = contact_violations(["mailto:a@example.com"] * 11)
    assert [(each.rule_id, each.pointer) for each in found] == [("ACME-CONTACT", "/contact")]


@given(st.lists(st.text() | st.text().map(lambda text: f"mailto:{text}"), max_size=12))
def test_no_text_is_too_strange_to_be_judged(contacts):
    for contact in contacts:
        if not contact_violations([contact]):
            assert contact.isascii()
            assert contact.isprintable()
            assert contact.count("@") == 1
