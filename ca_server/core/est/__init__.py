"""What EST is made of (RFC 7030), as pure values."""
