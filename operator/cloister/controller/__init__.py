"""The operator: watches LLMDeployments and what they own, and keeps the cluster as rendered.

Reading order: `run` (the process), `handlers` (events in), `queue`, `reconcile` (the table of contents), `gather`,
`holds`, `keyrings`, `ensure`, `drift`, `status`, `events`, `observed`, `cluster`.
"""
