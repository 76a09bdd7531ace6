"""Shares by SLIP-39: the published vectors, every slip of a custodian, and that no word ever leaks."""

from __future__ import annotations

import hashlib
import json
import sys
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_server.core.errors import CaError, Kind
from ceremony.shares import check_share, is_word, join, login_secret, share_digest, split

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "slip39" / "vectors.json").read_text())
PASSPHRASE = b"TREZOR"
SECRET = bytes(range(32))
SET = split(SECRET, 2, 3)
OTHER = split(SECRET, 2, 3)
PLAIN = (
    "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal husband"
)
PLAIN += " erode duke ajar critical decision keyboard"


def refusal(call) -> CaError:
    """The refusal of a call; its words, and all that is chained to it, hold nothing of a share."""
    with pytest.raises(CaError) as caught:
        call()
    assert caught.value.__context__ is None
    return caught.value


def test_there_are_forty_five_vectors_of_which_thirty_fail():
    assert len(VECTORS) == 45
    assert sum(not secret for _, _, secret, _ in VECTORS) == 30


@pytest.mark.parametrize(("mnemonics", "secret"), [v[1:3] for v in VECTORS], ids=[v[0] for v in VECTORS])
def test_published_vectors_join_or_are_refused(mnemonics, secret):
    if secret:
        assert join(mnemonics, passphrase=PASSPHRASE).hex() == secret
        return
    refused = refusal(lambda: join(mnemonics, passphrase=PASSPHRASE))
    assert refused.rule_ids[0] in {"CEREMONY-SHARE", "CEREMONY-SHARE-SET", "CEREMONY-SHARE-COUNT"}
    assert not {word for each in mnemonics for word in each.split()} & set(refused.detail.split())


@settings(max_examples=20, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.integers(2, 16).flatmap(lambda n: st.tuples(st.integers(2, n), st.just(n))),
)
def test_any_threshold_of_shares_joins_and_one_fewer_does_not(secret, numbers):
    threshold, count = numbers
    shares = split(secret, threshold, count)
    assert len(set(shares.mnemonics)) == count
    assert join(shares.mnemonics[:threshold]) == secret
    assert join(shares.mnemonics[: -threshold - 1 : -1]) == secret
    refused = refusal(lambda: join(shares.mnemonics[1:threshold]))
    assert refused.rule_ids == ("CEREMONY-SHARE-COUNT",)


def test_every_pair_of_two_of_three_joins_and_a_share_of_256_bits_has_33_words():
    for pair in combinations(SET.mnemonics, 2):
        assert join(pair) == SECRET
    assert {len(each.split()) for each in SET.mnemonics} == {33}
    assert {len(each.split()) for each in split(bytes(16), 2, 2).mnemonics} == {20}


@pytest.mark.parametrize(
    ("size", "threshold", "count"), [(31, 2, 3), (0, 2, 3), (32, 1, 3), (32, 4, 3), (32, 2, 17)]
)
def test_what_cannot_be_split_is_a_mistake_of_the_caller(size, threshold, count):
    with pytest.raises(ValueError):
        split(bytes(size), threshold, count)


def test_shares_and_what_was_typed_do_not_show_themselves():
    share = check_share(SET.mnemonics[0])
    for shown in (repr(SET), str(SET), repr(share), str(share)):
        assert not set(SET.mnemonics[0].split()) & set(shown.replace("'", " ").split())


def test_a_share_is_read_in_any_case_spacing_and_from_four_letters():
    wanted = check_share(PLAIN)
    loose = "\n ".join(
        word[:4].upper() if place % 2 else f" {word.title()}" for place, word in enumerate(PLAIN.split())
    )
    assert check_share(loose) == wanted
    assert wanted.mnemonic == PLAIN
    assert wanted.digest == share_digest(loose) == hashlib.sha256(PLAIN.encode()).hexdigest()


def test_a_share_says_which_set_and_place_it_is_of():
    found = [check_share(each, identifier=SET.identifier) for each in SET.mnemonics]
    assert [each.index for each in found] == [0, 1, 2]
    assert {each.threshold for each in found} == {2}
    assert {each.identifier for each in found} == {SET.identifier}


@pytest.mark.parametrize("wrong", ["ducklong", "duc", "x", "entropy1", "wörd", "\ud800"])
def test_an_unknown_word_is_told_by_its_place_alone(wrong):
    words = PLAIN.split()
    words[6] = wrong
    refused = refusal(lambda: check_share(" ".join(words)))
    assert refused.rule_ids == ("CEREMONY-SHARE",)
    assert refused.detail.endswith("number 7")
    assert wrong not in refused.detail.split()


@pytest.mark.parametrize("place", range(20))
def test_one_wrong_word_anywhere_is_refused(place):
    words = PLAIN.split()
    words[place] = "academic" if words[place] != "academic" else "acid"
    assert refusal(lambda: check_share(" ".join(words))).rule_ids == ("CEREMONY-SHARE",)


def test_missing_surplus_and_swapped_words_and_far_too_much_text_are_refused():
    words = PLAIN.split()
    swapped = [words[1], words[0], *words[2:]]
    for spoiled in (words[1:], [*words, "acid"], swapped, [], ["acid"] * 61, ["acid" * 300]):
        text = " ".join(spoiled)
        assert refusal(lambda text=text: check_share(text)).rule_ids == ("CEREMONY-SHARE",)


def test_a_share_whose_stretching_would_take_minutes_is_refused():
    from shamir_mnemonic.share import Share

    slow = Share(1, True, 15, 0, 1, 1, 0, 1, bytes(16)).mnemonic()
    refused = refusal(lambda: check_share(slow))
    assert refused.rule_ids == ("CEREMONY-SHARE",)
    assert "minutes" in refused.detail


def test_a_share_of_another_set_is_refused_where_it_is_typed_and_where_it_is_joined():
    assert SET.identifier != OTHER.identifier
    stray = OTHER.mnemonics[1]
    assert refusal(lambda: check_share(stray, identifier=SET.identifier)).rule_ids == ("CEREMONY-SHARE-SET",)
    assert refusal(lambda: join([SET.mnemonics[0], stray])).rule_ids == ("CEREMONY-SHARE-SET",)


@pytest.mark.parametrize("given_shares", [[], [0], [0, 0], [0, 1, 2]])
def test_too_few_too_many_and_one_share_twice_are_not_joined(given_shares):
    refused = refusal(lambda: join([SET.mnemonics[each] for each in given_shares]))
    assert refused.rule_ids == ("CEREMONY-SHARE-COUNT",)


def test_a_word_is_known_in_full_and_from_four_letters():
    assert is_word("academic")
    assert is_word("ACAD")
    assert is_word("acade")
    for wrong in ("aca", "", "academics", "zzzz", "acidic"):
        assert not is_word(wrong)


def test_a_split_pin_is_hex_cut_to_the_longest_that_the_token_takes():
    assert login_secret(SECRET, 255) == SECRET.hex()
    assert login_secret(SECRET, 32) == SECRET.hex()[:32]
    assert refusal(lambda: login_secret(SECRET, 15)).rule_ids == ("CEREMONY-SHARE-PIN",)


def test_without_the_extra_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "shamir_mnemonic", None)
    for call in (lambda: split(SECRET, 2, 3), lambda: join([PLAIN]), lambda: check_share(PLAIN)):
        with pytest.raises(CaError, match=r"sealkeeper\[shamir\]") as caught:
            call()
        assert caught.value.kind is Kind.UNAVAILABLE
        assert caught.value.rule_ids == ("CEREMONY-SHAMIR",)
