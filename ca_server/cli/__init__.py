"""The sealkeeper command; sub-commands import lazily."""
