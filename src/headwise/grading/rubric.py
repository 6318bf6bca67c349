"""What a class is asked for, and what it is worth: a small YAML file, checked before anything is graded.

Each task names a function and gives points for properties of it, all of them measured by `headwise.checker`:

- ``runs``: it answered at least one input;
- a fact about the function itself, such as ``rows-sum-to-one``;
- a kind of input on which it must agree with the definition, such as ``plain``, ``mask`` or ``large-logits``;
- ``right``: no mistake. Where every mistake found has a price under ``mistakes``, ``right`` is worth what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.conventions import Requirements
from headwise.checker.probes import PROBES
from headwise.checker.signatures import KINDS
from headwise.errors import DataError, MissingExtraError
from headwise.grading.sandbox import Limits

__all__ = ["FACTS", "PROPERTIES", "Rubric", "Task", "default_rubric", "read_rubric"]

FACTS = {
    "rows-sum-to-one": "the attention weights of a token sum to one",
    "permutation-equivariant": "reordering the tokens reorders the output",
    "linear-in-values": "the output is linear in the values",
    "shift-invariant": "adding a constant to the logits changes nothing",
    "depends-on-mask": "the mask makes a difference",
    "deterministic": "the same input gives the same output",
    "keeps-inputs": "the arguments are left as they were",
    "keeps-type": "float32 in, float32 out",
    "output-shape": "the output has the right shape",
    "finite": "no NaN and no infinity",
}
PROPERTIES = {
    "runs": "it runs",
    **FACTS,
    **{name: f"the right answer for {says}" for name, says in PROBES.items()},
    "right": "no mistake",
}


_TASK_KEYS = ("name", "function", "kind", "points", "mistakes", "conventions")


@dataclass(frozen=True, slots=True)
class Task:
    """One function that is asked for.

    Attributes
    ----------
    name : str
        What the feedback calls it.
    function : tuple of str
        Its name, and other names that are accepted.
    kind : str
        What it is meant to be, as for `headwise.checker`; ``"auto"`` to find out.
    points : dict of str to float
        Points by property.
    mistakes : dict of str to float
        What a named mistake or hazard takes from the points of ``right``. A mistake that is not listed takes all, a
        hazard that is not listed takes nothing.
    conventions : tuple of str
        Conventions that a solution must follow, such as ``weights-out-in``; not following one is a mistake.
    """

    name: str
    function: tuple[str, ...]
    kind: str
    points: dict[str, float]
    mistakes: dict[str, float] = field(default_factory=dict)
    conventions: tuple[str, ...] = ()

    @property
    def out_of(self) -> float:
        """The points of a perfect solution."""
        return sum(self.points.values())


@dataclass(frozen=True, slots=True)
class Rubric:
    """Everything a class is asked for, and what a submission may use while it is graded."""

    title: str
    tasks: tuple[Task, ...]
    limits: Limits = field(default_factory=Limits)

    @property
    def out_of(self) -> float:
        """The points of a perfect submission."""
        return sum(task.out_of for task in self.tasks)


def default_rubric() -> Rubric:
    """The rubric that ships: self-attention with one head and with several, ten points each."""
    return _rubric(_yaml(files("headwise.grading").joinpath("rubric.yaml").read_text(encoding="utf-8")))


def read_rubric(path: Path) -> Rubric:
    """Read a rubric from a YAML file.

    Raises
    ------
    DataError
        If there is no such file, or something in it is not understood: the message says where, and what could stand
        there.
    MissingExtraError
        If PyYAML is not installed.
    """
    try:
        return _rubric(_yaml(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such rubric.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("a rubric", "PyYAML", "lab") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"not YAML: {' '.join(str(error).split())}") from None


def _rubric(given: Any) -> Rubric:
    top = _mapping("the rubric", given, required=("tasks",), allowed=("title", "tasks", "limits"))
    if not isinstance(top["tasks"], list) or not top["tasks"]:
        raise DataError("tasks: expected a list with a task or more.")
    tasks = tuple(_task(f"task {number}", each) for number, each in enumerate(top["tasks"], 1))
    _distinct("tasks", [task.name for task in tasks])
    return Rubric(str(top.get("title", "Attention")), tasks, _limits(top.get("limits") or {}))


def _task(where: str, given: Any) -> Task:
    task = _mapping(where, given, ("function", "points"), _TASK_KEYS)
    names = task["function"] if isinstance(task["function"], list) else [task["function"]]
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise DataError(f"{where}, function: expected the name of a function, or a list of names; got {name!r}.")
    kind = task.get("kind", "auto")
    if kind not in ("auto", *KINDS):
        raise DataError(f"{where}, kind: expected {_either(('auto', *KINDS))}; got {kind!r}.")
    points = _numbers(f"{where}, points", task["points"], PROPERTIES)
    if not sum(points.values()):
        raise DataError(f"{where}, points: expected something to be worth a point.")
    mistakes = _numbers(f"{where}, mistakes", task.get("mistakes") or {}, CATALOGUE)
    if mistakes and "right" not in points:
        raise DataError(f"{where}, mistakes: they are taken from the points of `right`, which this task does not give.")
    conventions = task.get("conventions") or []
    try:
        Requirements.of(convention=[conventions] if isinstance(conventions, str) else conventions)
    except (DataError, TypeError) as error:
        raise DataError(f"{where}, conventions: {error}") from None
    conventions = (conventions,) if isinstance(conventions, str) else tuple(conventions)
    return Task(str(task.get("name", names[0])), tuple(names), kind, points, mistakes, conventions)


def _limits(given: Any) -> Limits:
    known: dict[str, Any] = {each.name: type(each.default) for each in fields(Limits)}
    limits = _mapping("limits", given, (), tuple(known))
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
            raise DataError(f"limits, {name}: expected a number above 0; got {value!r}.")
    return Limits(**{name: known[name](value) for name, value in limits.items()})


def _mapping(where: str, given: Any, required: Iterable[str], allowed: Iterable[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise DataError(f"{where}: expected keys and values ({', '.join(allowed)}); got {type(given).__name__}.")
    for key in given:
        if key not in allowed:
            raise DataError(f"{where}: {key!r} is not known here; there are {', '.join(allowed)}.")
    for key in required:
        if key not in given:
            raise DataError(f"{where}: {key} is missing.")
    return given


def _numbers(where: str, given: Any, known: Mapping[str, Any]) -> dict[str, float]:
    for name, value in _mapping(where, given, (), tuple(known)).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            raise DataError(f"{where}, {name}: expected a number of points, 0 or more; got {value!r}.")
    return {name: float(value) for name, value in given.items()}


def _distinct(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: {twice[0]!r} stands there twice; give each a `name` of its own.")


def _either(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
