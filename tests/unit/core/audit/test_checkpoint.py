"""Checkpoint texts: one spelling, and only from the log that they name."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from ca_server.core.audit.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from ca_server.core.audit.note import make_verifier_key, sign_note
from ca_server.core.errors import CaError

# The example of C2SP tlog-checkpoint.
EXAMPLE = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


def test_the_specifications_example():
    checkpoint = parse_checkpoint(EXAMPLE)
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert checkpoint.text == EXAMPLE


def test_extension_lines_are_accepted_and_never_made():
    assert parse_checkpoint(EXAMPLE + b"extension\n") == parse_checkpoint(EXAMPLE)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"origin\n1\n",
        f"origin\n1\n{ROOT}".encode(),
        f"\n1\n{ROOT}\n".encode(),
        f"origin\n01\n{ROOT}\n".encode(),
        f"origin\n-1\n{ROOT}\n".encode(),
        f"origin\n+1\n{ROOT}\n".encode(),
        f"origin\n1_0\n{ROOT}\n".encode(),
        "origin\n\u0661\n".encode() + ROOT.encode() + b"\n",
        f"origin\n9223372036854775808\n{ROOT}\n".encode(),
        f"origin\n{'9' * 5000}\n{ROOT}\n".encode(),
        b"origin\n1\nAAAA\n",
        b"origin\n1\nno base 64\n",
        f"origin\n1\n{ROOT[:-1]}\n".encode(),
        f"origin\n1\n{ROOT}\n\n".encode(),
        f"origin\n1\n{ROOT}\n\nextension\n".encode(),
        b"\xff\n1\n" + ROOT.encode() + b"\n",
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(CaError) as caught:
        parse_checkpoint(text)
    assert caught.value.rule_ids == ("AUDIT-CHECKPOINT",)


def test_a_log_speaks_for_itself_only():
    private = ed25519.Ed25519PrivateKey.generate()
    key = make_verifier_key("example.com/ours", private.public_key())
    own = Checkpoint("example.com/ours", 1, bytes(32)).text
    other = Checkpoint("example.com/theirs", 1, bytes(32)).text
    assert open_checkpoint(sign_note(own, key, private.sign(own)), [key]).size == 1
    with pytest.raises(CaError) as caught:
        open_checkpoint(sign_note(other, key, private.sign(other)), [key])
    assert caught.value.rule_ids == ("AUDIT-ORIGIN",)
