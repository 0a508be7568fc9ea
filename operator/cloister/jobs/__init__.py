"""Programs that run to their end inside pods."""
