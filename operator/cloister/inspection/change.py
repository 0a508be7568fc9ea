"""Sequential change detection: has what is observed one by one left its own past?

The tabular CUSUM (E. S. Page, "Continuous Inspection Schemes", Biometrika 41, 1954) over standardised values, and its
form for events that happen or not (M. R. Reynolds and Z. G. Stoumbos, "A CUSUM Chart for Monitoring a Proportion When
Inspecting Continuously", Journal of Quality Technology 31, 1999). Both sum the evidence for a change against the
evidence for none, and never fall below nothing; how often chance alone crosses a threshold follows from D. Siegmund,
"Sequential Analysis", 1985, section 2.6: about (exp(2k(h+1.166)) - 2k(h+1.166) - 1) / 2k^2 observations apart.
"""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Usual:
    """Mean and spread of something's logarithm, the latest weighing more. Single outliers move it little (P. J. Huber,
    "Robust Estimation of a Location Parameter", 1964): a misuse must not teach that it is usual."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float, memory: int, bound: float = 3.0, least: float = 0.4) -> None:
        """Takes in a value of 0 or more; ``memory`` is about how many count."""
        self.count += 1
        step = math.log1p(value) - self.mean
        if self.count > 5:
            reach = bound * self.spread(least)
            step = min(max(step, -reach), reach)
        weight = max(1.0 / self.count, 1.0 / memory)
        self.mean += weight * step
        if self.count > 1:
            self.variance += weight * (step * step * (1 - weight) - self.variance)

    def spread(self, least: float = 0.4) -> float:
        """The standard deviation of the logarithm, never less than ``least``."""
        return max(math.sqrt(max(self.variance, 0.0)), least)

    def limit(self, deviations: float) -> float:
        """The value that lies so many standard deviations above the mean."""
        return math.expm1(min(self.mean + deviations * self.spread(), 60.0))

    def deviation(self, value: float) -> float:
        """How many standard deviations a value lies above the mean."""
        return (math.log1p(value) - self.mean) / self.spread()


def proportion_evidence(happened: bool, before: float, after: float) -> float:
    """The log-likelihood ratio of one observation: that events now have the share ``after``, against ``before``."""
    return math.log(after / before) if happened else math.log((1 - after) / (1 - before))
