"""The OpenAI-style APIs, as far as a model server behind the auditor may be asked: what a request looks like."""
