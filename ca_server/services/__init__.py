"""Use cases: the only place that orders steps and opens units of work."""
