"""What inspection knows when it is delivered: the rules and the classifier that lie beside this file."""

from functools import cache
from importlib.resources import files

from cloister.inspection.classifier import Classifier
from cloister.inspection.injection import DEFAULT_THRESHOLD, Detector
from cloister.inspection.rules import RuleSet, compiled, parse


@cache
def own_rules() -> RuleSet:
    """The rules that come with Cloister."""
    return parse(files(__package__).joinpath("rules.yaml").read_text())


@cache
def own_classifier() -> Classifier:
    """The classifier that was trained in the repository."""
    return Classifier.load(files(__package__).joinpath("classifier.npz").read_bytes())


def detector(*more: RuleSet, threshold: float = DEFAULT_THRESHOLD) -> Detector:
    """With a user's own rules on top; RulesError where they are bad."""
    return Detector(compiled(own_rules(), *more), own_classifier(), threshold)
