"""How well prompt injection is detected: corpora from packages, split by source before any rule was written."""
