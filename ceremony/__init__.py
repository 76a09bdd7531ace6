"""Key ceremonies: strict scripts that make CA keys and first certificates."""
