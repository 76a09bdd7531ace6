"""The OCSP responder: its own process, token and read-only database role."""
