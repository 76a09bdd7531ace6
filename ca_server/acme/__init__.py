"""The ACME door (RFC 8555): reads signed requests, calls one service each, answers in the RFC's words."""
