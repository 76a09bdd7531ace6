"""What everyone may fetch: CRLs, chains, the audit log, health and metrics."""
