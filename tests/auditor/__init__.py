"""The real auditor, run as a pod runs it, between a client and a model server that does what it is told."""
