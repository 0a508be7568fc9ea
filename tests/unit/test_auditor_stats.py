"""What the auditor counts of models."""

from cloister.auditor.stats import AT_ONCE, IN_USE, MAX_MODELS, OTHER, Stats


def test_names_that_a_caller_makes_up_take_no_places() -> None:
    stats = Stats()
    for number in range(2000):
        stats.used(f"made up {number}", 1, 1)
    assert len(stats.tokens_in) == AT_ONCE + 1
    assert stats.tokens_in[OTHER] == 2000 - AT_ONCE
    for _ in range(2 * IN_USE):
        stats.used("real", 1, 1)
    assert stats.tokens_in["real"] == IN_USE + 1
    for number in range(MAX_MODELS):
        for _ in range(2 * IN_USE):
            stats.used(f"in use {number}", 1, 1)
    assert len(stats.tokens_in) <= MAX_MODELS + 1
    assert len(stats.candidates) <= 256
