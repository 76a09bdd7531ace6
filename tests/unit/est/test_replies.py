"""Base64 in lines, and several parts in one answer."""

from __future__ import annotations

import base64
import email
import secrets

import pytest
from flask import Flask

from ca_server.core.est.settings import EstConfig
from ca_server.est.labels import Label
from ca_server.est.replies import BOUNDARY, Part, base64_lines, multipart_reply, reply
from ca_server.est.services import EXTENSION


@pytest.mark.parametrize("length", [0, 64, 76])
@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 57, 1000])
def test_lines_hold_every_byte_and_are_no_longer_than_asked(size, length):
    data = secrets.token_bytes(size)
    lines = base64_lines(data, length)
    assert base64.b64decode(b"".join(lines), validate=True) == data
    assert all(len(each) == length for each in lines[:-1])
    assert all(0 < len(each) <= (length or len(each)) for each in lines)
    assert len(lines) <= 1 or length


class Held:
    """The one thing of the services that answers look at."""

    class parts:  # noqa: N801 - an attribute of the services
        settings = EstConfig()


@pytest.fixture
def context():
    app = Flask("test", static_folder=None)
    app.extensions[EXTENSION] = Held()
    with app.test_request_context("/"):
        yield


PARTS = [Part("application/pkcs8", b"k" * 200), Part("application/pkcs7-mime; smime-type=certs-only", b"c")]


def test_an_answer_of_several_parts_is_mime(context):
    response = multipart_reply(PARTS)
    assert response.headers["Content-Type"] == f"multipart/mixed; boundary={BOUNDARY}"
    # Each part names its own encoding; the whole has none.
    assert "Content-Transfer-Encoding" not in response.headers
    whole = email.message_from_bytes(
        b"Content-Type: " + response.headers["Content-Type"].encode() + b"\r\n\r\n" + response.data
    )
    assert whole.is_multipart()
    assert not whole.defects
    found = [Part(each["Content-Type"], each.get_payload(decode=True)) for each in whole.get_payload()]
    assert found == PARTS
    assert all(each["Content-Transfer-Encoding"] == "base64" for each in whole.get_payload())


def test_a_label_breaks_the_lines_of_each_part(context):
    from flask import g

    g.label = Label("printers", None, 64)
    lines = multipart_reply(PARTS).data.split(b"\r\n")
    assert max(len(each) for each in lines if not each.startswith(b"Content-")) == 64
    assert reply(b"k" * 200, "application/pkcs8").data.count(b"\n") == 5


def test_an_answer_without_bytes_is_empty_base64(context):
    assert reply(b"", "application/csrattrs").data == b""
