"""The formats that the ceremony room writes and others verify: statements, roster, transcript, bundle."""
