"""What a client of EST may know, in the order in which the matrix lists it."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """A row of the matrix."""

    CACERTS = "cacerts"
    CSRATTRS = "csrattrs"
    BY_SECRET = "simpleenroll by secret"
    BY_CERTIFICATE = "simpleenroll by certificate"
    BY_BOTH = "simpleenroll by both"
    BY_MANUFACTURER = "simpleenroll by manufacturer's certificate"
    RENEW_SAME_KEY = "simplereenroll, same key"
    RENEW_NEW_KEY = "simplereenroll, new key"
    SERVER_KEY = "serverkeygen, plain"
    SERVER_KEY_SYMMETRIC = "serverkeygen, symmetric"
    SERVER_KEY_ASYMMETRIC = "serverkeygen, asymmetric"
    APPROVAL = "202, then the certificate"
    LABEL = "label"
    SHORT_LINES = "lines of 76 characters"
    KEPT_ALIVE = "several requests on a connection"
    SPENT_SECRET = "refused: secret spent or wrong"
    REVOKED = "refused: revoked certificate"
    FOREIGN = "refused: foreign certificate"
    WRONG_CONTENT = "refused: content type, garbage, size"
