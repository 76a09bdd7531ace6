"""Findings of pkilint that we keep, each with its reason. None is silenced anywhere else."""

from __future__ import annotations

ACCEPTED: dict[str, str] = {
    "pkix.invalid_uri_syntax": "pkilint takes a host of one label, such as localhost or a site's own short "
    "name, for an error; RFC 3986 §3.2.2 allows it. URIs are checked before: those of a subject by "
    "core.name_syntax, those of CRLs, issuers and responders where configuration and scripts are read.",
}
