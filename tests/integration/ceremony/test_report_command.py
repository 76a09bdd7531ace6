"""`sealkeeper ceremony report` on the bundle of a ceremony that was really held."""

from __future__ import annotations

import json
import tarfile

import pytest

from tests.fixtures.commands import sealkeeper

pytestmark = pytest.mark.hsm


@pytest.fixture
def bundle(bundle_data, tmp_path):
    path = tmp_path / "bundle.tar"
    path.write_bytes(bundle_data)
    return path


def test_the_report_has_what_the_bundle_has(bundle, tmp_path):
    page, pages = tmp_path / "report.html", tmp_path / "report.pdf"
    sealkeeper("ceremony", "report", str(bundle), "--out", str(page), "--pdf", str(pages))
    assert pages.read_bytes().startswith(b"%PDF-1.7")
    text = page.read_text()
    with tarfile.open(bundle) as archive:
        names = archive.getnames()
        keys = json.load(archive.extractfile("keys.json"))
        transcript = archive.extractfile("transcript.jsonl").read().splitlines()
        steps = {json.loads(line)["step"] for line in transcript} - {"-"}
        persons = [json.loads(line)["data"]["person"] for line in transcript if b'"event":"gate"' in line]
    assert [name for name in names if f'<th scope="row">{name}</th>' not in text] == []
    assert [step for step in steps if f'<th scope="row">{step}</th>' not in text] == []
    assert [key["spki_sha256"] for key in keys if key["spki_sha256"] not in text] == []
    assert [person for person in persons if f"({person})" not in text] == []
    assert "<strong>not ended</strong>" not in text
    assert text.count("<dt>output</dt>") == sum(b'"output":' in line for line in transcript) > 0


def test_no_report_is_drawn_of_a_bundle_that_does_not_hold(bundle, tmp_path):
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    refused = sealkeeper(
        "ceremony", "report", str(bundle), "--out", str(tmp_path / "report.html"), check=False
    )
    assert refused.returncode == 1
    assert "[" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "report.html").exists()
