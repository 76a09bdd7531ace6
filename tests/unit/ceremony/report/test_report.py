"""The report: what a bundle says is all there, and nothing in it can do anything to its reader."""

from __future__ import annotations

import html.parser
import re
import sys
import xml.etree.ElementTree as ET
import zlib

import pytest

from ca_server.core.errors import CaError, Kind
from ceremony.report.drawing import draw_timeline, draw_tree, duration
from ceremony.report.facts import gather
from ceremony.report.html import render, visible
from ceremony.report.pdf import to_pdf
from tests.unit.ceremony.report.bundle_of import make_files

BUNDLE = "12" * 32
HOSTILE = (
    "</style></title><script>alert(1)</script><img src=http://x.test/ onerror=alert(1)>"
    "\u202egnp.\x1b[2J\x07'\"&{{ 7*7 }}"
)
VOID = {"meta", "br", "img", "input", "link", "hr"}

# WeasyPrint's own: a library that it will want one day, and a colour profile that it does not close.
quiet = pytest.mark.filterwarnings(
    "ignore:HarfBuzz-Subset:DeprecationWarning", "ignore:unclosed file:ResourceWarning"
)


def report_of(**texts: str) -> str:
    return render(gather(make_files(**texts), BUNDLE))


class Page(html.parser.HTMLParser):
    """What a browser would make of it: elements, attributes, and whether all that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.ids: set[str] = set()
        self.stack: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self.ids |= {attributes["id"]} if "id" in attributes else set()
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.unbalanced.append(tag)


def test_everything_that_the_bundle_says_is_in_it():
    text = report_of()
    for expected in (
        "completed-with-deviations",
        "root-generate",
        "Ada Lovelace",
        "key-officer",
        "group green, quorum 2",
        "Issuing I1",
        "0000000000000000000000000000000000001234",
        "cACompromise",
        "never_extractable",
        "tbs/root.tbs",
        "REHEARSAL-vault",
        "1 that were there before are gone",
        "approves what keys sign",
        "evidence/sealed.json</h3><pre>{\n &#34;bag&#34;: &#34;4711&#34;",
        "ssh-ed25519 AAAA",
        "authorities/root-r1.cer",
        "path length 1",
        "2027-03-01T12:00:00Z",
        BUNDLE,
        "atlas backwater",
    ):
        assert expected in text, expected


def test_a_rehearsal_cannot_be_taken_for_the_real_thing():
    text = report_of(mode="rehearsal")
    assert "<title>Rehearsal: " in text
    assert "REHEARSAL.</strong>" in text
    real = report_of(mode="production")
    assert "Rehearsal: " not in real
    assert "REHEARSAL.</strong>" not in real


def test_the_same_bundle_gives_the_same_report():
    files = make_files()
    assert render(gather(files, BUNDLE)) == render(gather(files, BUNDLE))


def test_it_asks_nobody_for_anything_and_runs_nothing():
    page = Page(report_of(text=HOSTILE))
    names = {name for name, _ in page.elements}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "form", "base", "use", "image"}
    attributes = {name for _, attrs in page.elements for name in attrs}
    assert not {name for name in attributes if name.startswith("on")} | attributes & {
        "src",
        "style",
        "xlink:href",
    }
    links = {attrs["href"] for _, attrs in page.elements if "href" in attrs}
    assert all(link.startswith("#") and link[1:] in page.ids for link in links)
    policy = next(attrs for name, attrs in page.elements if attrs.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "url(" not in report_of()


def test_a_hostile_text_is_shown_and_does_nothing():
    text = report_of(text=HOSTILE)
    assert not page_is_broken(text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "[U+202E]gnp.[U+001B][2J[U+0007]" in text
    assert "{{ 7*7 }}" in text
    assert not {each for each in text if not each.isprintable()} - {"\n"}


def page_is_broken(text: str) -> list[str]:
    page = Page(text)
    return page.unbalanced + page.stack


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u200bb", "a[U+200B]b"),
        ("line\nline\t", "line\nline\t"),
        ("Zoë 東京", "Zoë 東京"),
        ("\x00", "[U+0000]"),
    ],
)
def test_characters_without_a_shape_are_spelled(text, shown):
    assert visible(text) == shown


def test_it_can_be_read_without_seeing_it():
    text = report_of()
    page = Page(text)
    assert not page_is_broken(text)
    names = [name for name, _ in page.elements]
    assert names.count("h1") == 1
    assert names.count("table") == names.count("caption") > 0
    assert ("html", {"lang": "en"}) in page.elements
    assert all("scope" in attrs for name, attrs in page.elements if name == "th")
    drawings = [attrs for name, attrs in page.elements if name == "svg"]
    assert len(drawings) == 2
    for attrs in drawings:
        assert attrs["role"] == "img"
        assert set(attrs["aria-labelledby"].split()) <= page.ids


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"result": []},
        {"result": {}},
        {"result": {"hsm": "vault", "binding": "x"}},
        {"result": {"hsm": "vault", "binding": {"x": []}}},
    ],
)
def test_a_record_of_strangers_that_is_none_is_refused(odd):
    with pytest.raises(CaError) as refused:
        gather(make_files(odd=odd), BUNDLE)
    assert refused.value.rule_ids == ("CEREMONY-REPORT",)


def test_the_drawings_are_well_formed():
    drawings = re.findall(r"<svg.*?</svg>", report_of(text=HOSTILE), re.DOTALL)
    assert [ET.fromstring(each).tag for each in drawings] == ["{http://www.w3.org/2000/svg}svg"] * 2


def test_time_goes_on_by_utc_where_another_process_resumed():
    story = gather(make_files(), BUNDLE).story
    assert story.length_ms == 3_672_000
    make = next(each for each in story.spans if each.step == "make")
    assert (make.started_ms, make.ended_ms, make.does, make.attempts) == (
        61_000,
        3_671_000,
        "key.generate",
        1,
    )
    assert [each.event for each in story.moments] == ["gate", "deviation", "pause", "resume"]


def test_every_bar_and_mark_lies_within_the_timeline():
    timeline = draw_timeline(gather(make_files(), BUNDLE).story)
    assert all(timeline.left <= bar.x and bar.x + bar.width <= timeline.width for bar in timeline.bars)
    assert all(0 < mark.y < timeline.height for mark in timeline.marks)
    assert 1 < len(timeline.ticks) <= 10


def test_the_tree_has_issuers_left_of_what_they_signed():
    tree = draw_tree(gather(make_files(), BUNDLE).certificates)
    places = {box.certificate.name: (box.x, box.y) for box in tree.boxes}
    assert places["Ada Lovelace"][0] < places["Issuing I1"][0]
    assert len(tree.arrows) == 1
    bars = {box.certificate.name: box.bar_width for box in tree.boxes}
    assert bars["Issuing I1"] == pytest.approx(bars["Ada Lovelace"] / 4, rel=0.01)


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0.0 s"),
        (59_900, "59.9 s"),
        (60_000, "1 min"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (3_660_000, "1 h 1 min"),
    ],
)
def test_a_length_of_time_is_told_in_two_units(milliseconds, words):
    assert duration(milliseconds) == words


@quiet
def test_the_pdf_is_one_for_archives():
    pages = to_pdf(report_of(text=HOSTILE))
    assert pages.startswith(b"%PDF-1.7")
    streams = re.findall(rb"stream\n(.*?)\nendstream", pages, re.DOTALL)
    assert any(b'pdfaid:part="3"' in zlib.decompress(each) for each in streams)


@quiet
@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://127.0.0.1:9/x", "data:image/png;base64,AA"])
def test_a_pdf_for_which_something_would_be_fetched_is_not_made(url):
    page = report_of().replace("</body>", f'<img src="{url}"></body>')
    with pytest.raises(BaseException, match="Error fetching"):
        to_pdf(page)


@pytest.mark.parametrize(("extra", "module"), [("report", "jinja2"), ("pdf", "weasyprint")])
def test_a_missing_extra_is_named(monkeypatch, extra, module):
    facts = gather(make_files(), BUNDLE)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CaError) as refused:
        to_pdf(render(facts))
    assert refused.value.kind is Kind.NOT_READY
    assert f"extra '{extra}'" in refused.value.detail
