"""The whole life of a model on a real node: `make e2e`."""
