"""What a client may know, in the order in which the matrix lists it."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """A row of the matrix."""

    REGISTER = "register"
    EXTERNAL_ACCOUNT = "external account binding"
    UPDATE = "change contacts"
    HTTP_01 = "http-01"
    DNS_01 = "dns-01"
    TLS_ALPN_01 = "tls-alpn-01"
    DNS_ACCOUNT_01 = "dns-account-01"
    DNS_PERSIST_01 = "dns-persist-01"
    WILDCARD = "wildcard"
    ADDRESS = "IP address"
    OWN_CSR = "own CSR"
    PROFILE = "profile"
    EVERY_PROFILE = "every profile"
    RENEW = "renew"
    RENEWAL_INFO = "renew by ARI"
    REPLACES = "ARI replaces"
    CHANGE_KEY = "account key change"
    REVOKE_BY_ACCOUNT = "revoke by account"
    REVOKE_BY_OTHER = "revoke by other account"
    REVOKE_BY_KEY = "revoke by certificate key"
    PRE_AUTHORIZE = "pre-authorization"
    SUBDOMAINS = "subdomain authorization"
    DEACTIVATE_AUTHORIZATION = "deactivate authorization"
    ORDERS = "list of orders"
    DEACTIVATE = "deactivate account"
