"""EST's use cases: who may enrol, with what proof, and how often."""
