"""Pure rules: values in, values out. No clock, randomness, file, socket or database."""
