"""Rule sets: patterns as data, read strictly, and looked for in linear time.

A set is YAML or JSON::

    version: "2026.11"                        # shown in records and by `cloister guard test`
    words: {ignore: [ignore, disregard]}      # <ignore> in a pattern stands for any of them
    rules:
    - {id: PI001, score: 0.9, pattern: '\\b<ignore> all rules\\b', source: where the idea comes from}

A pattern is RE2 and meets texts in lower case with single spaces (:func:`cloister.inspection.normalise.views`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import re2
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.document import Document

MAX_BYTES = 512 * 1024
MAX_RULES = 500
MAX_PATTERN = 8192
"""Characters, with its words put in."""
MAX_STEPS = 300_000
"""Of the automata of all rules together; Cloister's own have a tenth of it. A few repetitions make millions."""
_MEMORY = 16 << 20
_TOLD = 8
"""Problems that one message names; it may stand in a condition."""
_UNKNOWN = "extra_forbidden"
_NAMED = re.compile(r"<([a-z]+)>")
_UPPER = re.compile(r"\\[pP]\{[^}]*\}|\\[pP].|\\.|([A-Z])")

ORDINARY = (
    "",
    "hello",
    "what is the capital of france?",
    "please summarize the report that i have attached in three sentences.",
    "def total(items): return sum(item.price for item in items)",
    "wie wird das wetter morgen in hamburg?",
    '{"order": 4711, "items": ["bread", "milk"], "paid": true}',
)
"""A rule that finds one of these would flag nearly everything."""

Role = Literal["user", "tool", "assistant", "system"]
_ROLES: tuple[Role, ...] = get_args(Role)


class RulesError(ValueError):
    """A text is no rule set: which field, and what is wrong with it."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Rule(_Model):
    """One pattern."""

    id: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    score: Annotated[float, Field(ge=0.05, le=1)]
    """How sure it is alone; scores of several rules add up as 1 - (1 - a)(1 - b)."""
    pattern: Annotated[str, Field(min_length=3, max_length=MAX_PATTERN)]
    source: Annotated[str, Field(min_length=1, max_length=256)]
    """Where its idea comes from."""
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ("user", "tool", "assistant")
    """Whose words it judges."""
    views: tuple[Annotated[str, Field(max_length=32)], ...] = ()
    """Readings that it judges, by the first encoding; none: all of them."""


class RuleSet(_Model):
    """A set as it is written."""

    version: Annotated[str, Field(min_length=1, max_length=64)]
    words: Annotated[
        dict[
            Annotated[str, Field(pattern="^[a-z]{1,32}$")],
            Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(min_length=1)],
        ],
        Field(max_length=64),
    ] = {}
    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()


def parse(text: str) -> RuleSet:
    """The set that a text holds; RulesError names what is wrong, by field."""
    if len(text) > MAX_BYTES:
        raise RulesError(f"is {len(text)} characters long: at most {MAX_BYTES} are read")
    try:
        _without_aliases(text)
        raw: Any = yaml.load(text, _Once)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise RulesError(f"is neither YAML nor JSON: {error.problem}{line}") from None
    except UnicodeError:
        raise RulesError("is not valid Unicode") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise RulesError(
            f"is neither YAML nor JSON: {str(error).splitlines()[0] if str(error) else 'nested'}"
        ) from None
    if not isinstance(raw, dict):
        raise RulesError("is not a mapping with version and rules")
    document = Document(raw, "the set")
    if document.problems:
        field, problem = document.problems[0]
        raise RulesError(f"{field.removeprefix('the set.')}: {problem}")
    try:
        # JSON's rules, by which a list may become a tuple and nothing else becomes anything.
        rules = RuleSet.model_validate(_tuples(document.value))
    except ValidationError as error:
        raise RulesError(_problems(error)) from None
    compiled(rules)
    return rules


def _problems(error: ValidationError) -> str:
    """Each of them by its field, unknown fields first: one that is misspelt is often why another is missing."""
    found = sorted(error.errors(include_url=False, include_input=False), key=lambda one: one["type"] != _UNKNOWN)
    told = [
        f"{'.'.join(map(str, one['loc'])) or 'the set'}: {'unknown field' if one['type'] == _UNKNOWN else one['msg']}"
        for one in found[:_TOLD]
    ]
    return "; ".join(told) + (f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else "")


@dataclass(frozen=True)
class Compiled:
    """One rule, ready."""

    rule: Rule
    pattern: "re2._Regexp"

    def judges(self, role: Role, view: str) -> bool:
        """Whether it is for such words in such a reading."""
        return role in self.rule.roles and (not self.rule.views or view.partition("+")[0] in self.rule.views)


@dataclass(frozen=True)
class Rules:
    """A set, ready: an automaton for each role that says whether there is anything, and one for each rule."""

    version: str
    any: "Mapping[Role, re2._Regexp]"
    """Finds what any rule for all readings of such words finds: most texts are done with after it."""
    each: tuple[Compiled, ...]
    viewed: tuple[Compiled, ...]
    """Those that are for some readings alone."""

    def matching(self, text: str, role: Role, view: str) -> Iterator[Rule]:
        """Rules that find something in one reading of a text."""
        data = text.encode("utf-8", "replace")
        for one in self.each if self.any[role].search(data) else self.viewed:
            if one.judges(role, view) and one.pattern.search(data):
                yield one.rule


def compiled(*sets: RuleSet) -> Rules:
    """Sets together, a later one's rule in place of an earlier one's with its id; RulesError for a bad pattern."""
    by_id: dict[str, Compiled] = {}
    steps = 0
    for one in sets:
        seen: set[str] = set()
        for number, rule in enumerate(one.rules):
            where = f"rules.{number} ({rule.id})"
            if rule.id in seen:
                raise RulesError(f"{where}: this id stands twice")
            seen.add(rule.id)
            found = _automaton(where, expanded(rule.pattern, one.words, where))
            steps += found.programsize
            if steps > MAX_STEPS:
                raise RulesError(
                    f"{where}: with it the rules are {steps} steps long: at most {MAX_STEPS} are possible; repeat less"
                )
            if not rule.views:
                _not_everything(where, found)
            by_id[rule.id] = Compiled(rule, found)
    each = tuple(by_id.values())
    found = {role: _any(each, role) for role in _ROLES}
    return Rules("+".join(one.version for one in sets), found, each, tuple(one for one in each if one.rule.views))


def _any(each: Iterable[Compiled], role: Role) -> "re2._Regexp":
    patterns = [f"(?:{one.pattern.pattern.decode()})" for one in each if not one.rule.views and role in one.rule.roles]
    return re2.compile("|".join(patterns).encode() if patterns else rb"[^\x00-\x{10FFFF}]", _options(8))


def expanded(pattern: str, words: dict[str, tuple[str, ...]], where: str) -> str:
    """A pattern with its words put in."""

    def alternatives(found: "re.Match[str]") -> str:
        if found.group(1) not in words:
            return found.group()  # an element of HTML
        return f"(?:{'|'.join(words[found.group(1)])})"

    full = _NAMED.sub(alternatives, pattern)
    if len(full) > MAX_PATTERN:
        raise RulesError(f"{where}: its pattern is {len(full)} characters long: at most {MAX_PATTERN} are possible")
    return full


def _automaton(where: str, pattern: str) -> "re2._Regexp":
    capital = next((found.group(1) for found in _UPPER.finditer(pattern) if found.group(1)), None)
    if capital and "(?i" not in pattern:
        raise RulesError(f"{where}: {capital!r} is never found, for texts are in lower case: write it so")
    try:
        found = re2.compile(pattern.encode(), _options(1))
    except re2.error as error:
        said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise RulesError(f"{where}: is no RE2 pattern: {said}") from None
    return found


def _not_everything(where: str, pattern: "re2._Regexp") -> None:
    for ordinary in ORDINARY:
        if pattern.search(ordinary.encode()):
            raise RulesError(f"{where}: finds {ordinary!r} and so nearly everything: make it narrower")


def _options(times: int) -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = times * _MEMORY
    return options


def _without_aliases(text: str) -> None:
    """A few lines of them stand for gigabytes."""
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = f" (line {event.start_mark.line + 1})" if event.start_mark else ""
            raise RulesError(f"*{event.anchor} is an alias: write out what it stands for{line}")


class _Once(yaml.CSafeLoader):
    """A key that stands twice is refused: which of the two holds, nobody could know. So is whatever has another form
    than its tag says."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            kind = node.tag.rpartition(":")[2]
            said = repr(node.value)[:80] if isinstance(node, yaml.ScalarNode) else "this"
            raise yaml.constructor.ConstructorError(
                None, None, f"{said} is no {kind}: put it in quotes if it is a text", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value] if node.id == "mapping" else []
        for key in keys:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "the name of a field is no text", key.start_mark)
        if len(keys) != len({key.value for key in keys}):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    # YAML reads `score: 1` as an integer.
    return float(value) if type(value) is int else value
