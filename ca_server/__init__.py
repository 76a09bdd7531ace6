"""The certificate authority server: gate, lane, log and doors."""

__version__ = "0.1.0"
