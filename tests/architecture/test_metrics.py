"""Metrics are an interface: each one that is served is documented, and no other."""

from __future__ import annotations

import re

from tests.architecture.tree import ROOT, product_files, strings_in

METRIC = re.compile(r"(?:sealkeeper|x509)_[a-z0-9_]+")


def test_every_metric_is_documented_and_every_documented_metric_is_served():
    served = {text for path in product_files() for text in strings_in(path) if METRIC.fullmatch(text)}
    text = (ROOT / "ops/docs/metrics.md").read_text()
    documented = re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE)
    assert documented == sorted(documented)
    assert set(documented) == served


def test_the_operators_page_names_metrics_that_exist():
    documented = set(METRIC.findall((ROOT / "ops/docs/metrics.md").read_text()))
    named = set(METRIC.findall((ROOT / "ops/docs/operations.md").read_text()))
    assert named - documented - {"sealkeeper_owner", "sealkeeper_ocsp"} == set()
