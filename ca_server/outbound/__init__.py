"""The one door to other people's machines: DNS, HTTP and TLS for validation, and nothing else (R26, R27)."""
