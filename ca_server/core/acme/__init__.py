"""What is pure of ACME (RFC 8555): resources, states, challenges, renewal windows."""
