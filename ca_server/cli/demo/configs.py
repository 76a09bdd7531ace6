"""The demo's configuration files, written from what the ceremony made."""

from __future__ import annotations

import json
import tomllib

from ca_server.cli.demo.layout import EST_PROFILE, DemoOptions, Layout
from ca_server.core.bundle import Bundle, LogEntry
from ca_server.core.errors import CaError, Kind
from ca_server.hsm.uri import KeyUri

# Loopback is for rehearsals alone; the others are what an internal CA looks after.
NETWORKS = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
]


def log_of(bundle: Bundle) -> LogEntry:
    """The log's key, which a first hierarchy always has."""
    log = bundle.manifest.log
    if log is None:
        raise CaError(Kind.CONFLICT, "this is not the bundle of a first hierarchy: it has no log")
    return log


def server_toml(layout: Layout, bundle: Bundle) -> str:
    """The configuration of `serve` and `worker`."""
    manifest, log = bundle.manifest, log_of(bundle)
    uris = [log.key_uri, *(each.key_uri for each in manifest.authorities if each.key_uri)]
    lines = [
        'mode = "rehearsal"',
        'node = "demo"',
        f"state_directory = {_text(layout.state)}",
        "[database]",
        f"url = {_text(layout.database_url)}",
        "[server]",
        f'https = "127.0.0.1:{layout.options.https_port}"',
        f'http = "127.0.0.1:{layout.options.http_port}"',
        'names = ["localhost", "127.0.0.1"]',
        f"tls_key = {_text(layout.ceremony / 'api-server.key')}",
        "[publication]",
        f"public_url = {_text(layout.http_url)}",
        f"ocsp_url = {_text(layout.ocsp_url)}",
        "[audit]",
        f"vkey = {_text(log.vkey)}",
        f"key = {_text(log.key_uri)}",
        f"anchor = {_text(layout.directory / 'anchor.json')}",
    ]
    for label in sorted({KeyUri.parse(uri).token for uri in uris}):
        lines += ["[[token]]", *_token(layout, label)]
    lines += [*_acme(layout.options), *_est()]
    return "\n".join(lines) + "\n"


def _acme(options: DemoOptions) -> list[str]:
    """ACME that may look for challenges on this machine and in private networks, for whoever tries often."""
    resolvers = [options.dns_server] if options.dns_server else []
    return [
        "[acme]",
        'caa_identities = ["ca.example.test"]',
        "[acme.validation]",
        f"networks = {json.dumps(NETWORKS)}",
        f"resolvers = {json.dumps(resolvers)}",
        f"http01_port = {options.http01_port}",
        f"tls_alpn01_port = {options.tls_alpn01_port}",
        "[acme.limits]",
        'accounts_per_address = "10000/3h"',
        'orders_per_account = "1000000/3h"',
        'certificates_per_name = "1000000/7d"',
        'certificates_per_name_set = "1000000/7d"',
        'failures_per_name = "300/1h"',
    ]


def _est() -> list[str]:
    """EST for whoever tries often, also what happens to wrong secrets."""
    return [
        "[est]",
        f"default_profile = {_text(EST_PROFILE)}",
        'retry_after = "5s"',
        "[est.limits]",
        'failures_per_address = "30/1m"',
        'failures_per_secret = "10/1m"',
        'refusals_per_identity = "1000/1m"',
    ]


def ocsp_toml(layout: Layout, bundle: Bundle) -> str:
    """The configuration of `ocsp serve`."""
    responders = bundle.manifest.responders
    lines = [
        f'listen = "127.0.0.1:{layout.options.ocsp_port}"',
        f"state_directory = {_text(layout.directory / 'ocsp-state')}",
        "[database]",
        f"url = {_text(layout.database_url)}",
    ]
    for label in sorted({KeyUri.parse(each.key_uri).token for each in responders if each.key_uri}):
        lines += ["[[token]]", *_token(layout, label)]
    for each in responders:
        lines += [
            "[[issuer]]",
            f"authority = {_text(each.authority)}",
            f"authority_certificate = {_text(layout.authority_certificate(each.authority))}",
            f"certificate = {_text(layout.responder_certificate(each.authority))}",
            f"key = {_text(each.key_uri)}",
        ]
    return "\n".join(lines) + "\n"


def _token(layout: Layout, label: str) -> list[str]:
    """A token as both configurations name it, found through the ceremony's host file."""
    host = tomllib.loads((layout.ceremony / "host.toml").read_text())
    binding = next(each for each in host["tokens"].values() if each["label"] == label)
    return [
        f"label = {_text(label)}",
        f"module = {_text(binding['module'])}",
        f"pin_file = {_text(binding['pin_file'])}",
    ]


def _text(value: object) -> str:
    """A TOML basic string; a JSON string is one."""
    return json.dumps(str(value))
