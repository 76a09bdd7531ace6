"""House rules a certificate must keep, one rule a file."""
