"""Properties of the names of keys: what is written is read again, and a parser raises nothing but CaError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.errors import CaError
from ca_server.hsm.uri import KeyUri

labels = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable() and text == text.strip(" "))
uris = st.one_of(
    st.builds(KeyUri, labels, labels, st.none() | st.binary(min_size=1, max_size=64)),
    st.builds(KeyUri, labels, st.none(), st.binary(min_size=1, max_size=64)),
)


@given(uris)
def test_what_is_written_is_read_again(uri):
    assert KeyUri.parse(str(uri)) == uri
    assert str(uri).isascii()


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with suppress(CaError):
        KeyUri.parse(text)


@given(st.lists(st.sampled_from(["token", "object", "id", "type", "pin-value"]), max_size=5), st.data())
def test_anything_like_a_uri_is_read_in_full_or_refused(names, data):
    values = st.text(alphabet="ab%0F;=?&\x00ü", max_size=6)
    text = "pkcs11:" + ";".join(f"{name}={data.draw(values)}" for name in names)
    with suppress(CaError):
        uri = KeyUri.parse(text)
        assert KeyUri.parse(str(uri)) == uri


@given(uris, st.integers(min_value=0), st.characters())
def test_a_damaged_uri_is_read_as_written_or_refused(uri, place, character):
    text = str(uri)
    place %= len(text)
    damaged = text[:place] + character + text[place + 1 :]
    with suppress(CaError):
        again = KeyUri.parse(damaged)
        assert KeyUri.parse(str(again)) == again
