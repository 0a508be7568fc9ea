"""The examples that come with programs of their own, run."""
