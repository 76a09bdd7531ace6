"""The counters of one process, by name; `publish.metrics` serves the sum over all processes.

No subject, name, serial number or address is ever a label: labels are closed lists, so that nobody can
make the server remember without end. Names carry base units, counters `_total` (Prometheus' rules).
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ISSUED = Counter(
    "sealkeeper_issued_total",
    "Certificates asked for, by what became of it: success, refused, pending, unavailable or error.",
    ["authority", "profile", "protocol", "result"],
)
REVOKED = Counter("sealkeeper_revoked_total", "Certificates revoked, by reason.", ["reason"])
REFUSED = Counter(
    "sealkeeper_access_refused_total", "Requests refused at the door, by the rule broken.", ["rule_id"]
)
ACME_VALIDATIONS = Counter(
    "sealkeeper_acme_validations_total",
    "Attempts to validate a challenge, by result: success, retry (made again later) or failure.",
    ["type", "result"],
)
HTTP_SECONDS = Histogram(
    "sealkeeper_http_request_seconds",
    "Time from request to response, by route and status class.",
    ["route", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HSM_SIGN_SECONDS = Histogram(
    "sealkeeper_hsm_sign_seconds",
    "Time of one signature by the token, checked in software.",
    ["key"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
HSM_OPERATIONS = Counter(
    "sealkeeper_hsm_operations_total", "Signatures asked of the token, by result.", ["key", "result"]
)
LANE_BATCH = Histogram(
    "sealkeeper_lane_batch_size",
    "Certificates that went through the lane together.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
# Without a label every process would have this at 0 from its start, also those that never sign.
HSM_UP = Gauge(
    "sealkeeper_hsm_up",
    "1 when the token signs for every process that uses it, by what for.",
    ["purpose"],
    multiprocess_mode="livemin",
)
