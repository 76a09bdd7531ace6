"""A digest as words: the published list, published examples, and what a slip of the tongue leads to."""

from __future__ import annotations

import hashlib

import pytest

from ca_server.core.errors import CaError
from ceremony.word_list import EVEN, ODD
from ceremony.words import MAX_WORDS, from_words, to_words

# Fingerprints by which other implementations test themselves: Wikipedia's, Decred's, Encode::Wordlist::PGP's
# and Plan 9 ports' own.
PUBLISHED = {
    "e58294f2e9a227486e8b061b31cc528fd7fa3f19": (
        "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa "
        "afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless"
    ),
    "d1d464c004f00fb5c9a4c8d8e433e7fb7ff56256": (
        "stairway souvenir flytrap recipe adrift upcoming artist positive spearhead Pandora "
        "spaniel stupendous tonic concurrent transit Wichita lockup visitor flagpole escapade"
    ),
    "41559711308f2a21b9d5072d621958afcb50b5f9": (
        "cranky equipment preshrunk Babylon chairlift midsummer brickyard Camelot sentence specialist "
        "ahead clergyman flagpole bottomless endorse pharmacy spheroid embezzle scorecard Waterloo"
    ),
    "9030e74b": "peachy commando transit disable",
}


@pytest.mark.parametrize("digest", PUBLISHED)
def test_published_fingerprints_have_their_published_words(digest):
    assert " ".join(to_words(digest)) == PUBLISHED[digest]
    assert from_words(PUBLISHED[digest].split()) == digest


def test_the_list_is_the_published_one():
    # The digest was taken from two packages of other people's, which agree in every word.
    text = "\n".join(EVEN + ODD).encode()
    assert (
        hashlib.sha256(text).hexdigest() == "e9b7b0052233a74aa56724ed3f79c272036aed68d8f4c0856e833c8043b9ac62"
    )


def test_every_byte_has_one_word_at_each_place():
    assert len(EVEN) == len(ODD) == 256
    assert len({word.lower() for word in EVEN + ODD}) == 512


def test_a_sha256_is_thirty_two_words_and_comes_back_in_any_case():
    digest = hashlib.sha256(b"a script").hexdigest()
    words = to_words(digest)
    assert len(words) == 32
    assert from_words(word.upper() for word in words) == digest


@pytest.mark.parametrize(
    ("said", "number", "reason"),
    [
        ("topmost Pluto vagabond", 2, "lost"),
        ("Istanbul topmost", 1, "swapped"),
        ("topmost topmost Istanbul", 2, "twice"),
        ("topmost Istanbull", 2, "not in the list"),
    ],
)
def test_a_slip_of_the_tongue_is_named_by_the_number_of_its_word(said, number, reason):
    with pytest.raises(CaError) as refused:
        from_words(said.split())
    assert refused.value.rule_ids == ("CEREMONY-WORD",)
    assert f"word {number} " in refused.value.detail
    assert reason in refused.value.detail


def test_a_word_that_is_not_in_the_list_is_not_shown_again():
    with pytest.raises(CaError) as refused:
        from_words(["\x1b[2Jsecret"])
    assert "secret" not in refused.value.detail


def test_endless_words_are_refused():
    with pytest.raises(CaError, match="more than 64"):
        from_words(EVEN[0] if place % 2 == 0 else ODD[0] for place in range(MAX_WORDS + 1))
