"""Whatever is typed as a share, the answer is a share or a refusal that repeats none of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shamir_mnemonic.wordlist import WORDLIST

from ca_server.core.errors import CaError
from ceremony.shares import check_share, join, split

SECRET = bytes(range(32))
SET = split(SECRET, 3, 5)
WORDS = st.sampled_from(WORDLIST)
TEXTS = st.one_of(
    st.text(max_size=300),
    st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=70).map(" ".join),
)


def rule_of(call: Callable[[], object]) -> str:
    """The rule of a refusal that tells nothing of the words."""
    with pytest.raises(CaError) as caught:
        call()
    assert caught.value.__context__ is None
    assert not set(caught.value.detail.split()) & set(WORDLIST)
    return caught.value.rule_ids[0]


@given(TEXTS)
def test_any_text_is_refused_without_its_words(text):
    # That thirty bits of checksum fit by chance is not to be expected in a test.
    assert rule_of(lambda: check_share(text)) == "CEREMONY-SHARE"


@given(st.integers(0, 4), st.data())
def test_up_to_three_changed_words_are_always_found(index, data):
    words = SET.mnemonics[index].split()
    for place in data.draw(st.sets(st.integers(0, len(words) - 1), min_size=1, max_size=3)):
        words[place] = data.draw(WORDS.filter(lambda word, old=words[place]: word != old))
    assert rule_of(lambda: check_share(" ".join(words))) == "CEREMONY-SHARE"


@given(st.permutations(range(5)), st.integers(0, 5))
def test_shares_join_in_any_order_when_they_are_exactly_enough(order, number):
    chosen = [SET.mnemonics[each] for each in order[:number]]
    if number == 3:
        assert join(chosen) == SECRET
    else:
        assert rule_of(lambda: join(chosen)) == "CEREMONY-SHARE-COUNT"
