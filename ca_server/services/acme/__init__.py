"""The use cases of ACME (RFC 8555): accounts, orders, authorizations, validation, revocation, renewal."""
