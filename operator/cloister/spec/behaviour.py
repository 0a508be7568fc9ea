"""`spec.inference.behaviour`: what follows when people and machines behave unlike themselves."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from cloister.spec.fields import Model, cel, rules
from cloister.spec.problems import refused_if


class BehaviourAction(StrEnum):
    """What a score may do."""

    ENFORCE = "Enforce"
    FLAG = "Flag"
    OFF = "Off"


_FLAG, _STEP_UP, _END = 40, 80, 120
_ORDER = "flagAt must be below stepUpAt, and stepUpAt below endAt"
Points = Annotated[int, Field(ge=10, le=500)]


def _given(name: str, default: int) -> str:
    return f"(has(self.{name}) ? self.{name} : {default})"


class Behaviour(Model):
    """Every caller has a score: the sum of what is unusual about it, each part with its reason, fading with time."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(f"{_given('flagAt', _FLAG)} < {_given('stepUpAt', _STEP_UP)}", _ORDER),
            cel(f"{_given('stepUpAt', _STEP_UP)} < {_given('endAt', _END)}", _ORDER),
        )
    )

    action: BehaviourAction = Field(
        BehaviourAction.ENFORCE,
        description="Enforce: a score may ask for a fresh sign-in, and end a session. Flag: it only raises alerts. Off:"
        " nobody looks.",
    )
    flag_at: Points = Field(_FLAG, description="Points from which an alert is raised.")
    step_up_at: Points = Field(
        _STEP_UP, description="Points from which a person must sign in again (RFC 9470). Machines are not asked."
    )
    end_at: Points = Field(
        _END,
        description="Points from which a session is over; a machine that speaks for itself is refused until its score"
        " has fallen below flagAt.",
    )
    half_life_minutes: Annotated[int, Field(ge=5, le=10080)] = Field(
        120, description="Time in which points fade to half."
    )
    travel_minutes: Annotated[int, Field(ge=0, le=2880)] = Field(
        180, description="Nobody is in two countries within this time; 0 leaves that out."
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        return refused_if(self, self._problems())

    def _problems(self) -> Iterator[tuple[str, str]]:
        if not self.flag_at < self.step_up_at < self.end_at:
            points = f"{self.flag_at}, {self.step_up_at}, {self.end_at}"
            yield "spec.inference.behaviour", f"{_ORDER}: not {points}"
