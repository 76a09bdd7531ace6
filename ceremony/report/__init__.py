"""The report of a ceremony for people, drawn from its verified bundle and from nothing else."""
