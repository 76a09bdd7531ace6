"""The responder's counters; names carry base units, labels are closed lists."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

RESPONSES = Counter(
    "sealkeeper_ocsp_responses_total",
    "Answers given: good, revoked, unknown, several for many at once, or the OCSP error.",
    ["status"],
)
CACHED = Counter("sealkeeper_ocsp_cached_total", "Answers given without a signature of their own.")
HSM_SIGN_SECONDS = Histogram(
    "sealkeeper_ocsp_sign_seconds",
    "Time of one signature by the token, checked in software.",
    ["authority"],
    buckets=(0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
