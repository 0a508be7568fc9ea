"""How people and machines behave, against their own past: an explainable score, and what follows from it.

Pure: the time comes with every call. Values that could tell who or where somebody is arrive as pseudonyms.
"""

from cloister.inspection.behaviour.judge import Behaviour
from cloister.inspection.behaviour.observed import Done, Kind, Who
from cloister.inspection.behaviour.signals import SIGNALS, Signal
from cloister.inspection.behaviour.standing import Judgement, Level, Reason, Thresholds

__all__ = ["SIGNALS", "Behaviour", "Done", "Judgement", "Kind", "Level", "Reason", "Signal", "Thresholds", "Who"]
