"""Rubrics: the tasks of a class and the points for each property, in a YAML file.

Each task names a function and gives points for properties of it, all of them measured by `headwise.checker`:

- ``runs``: it returned a result for at least one input;
- a property of the function itself, such as ``rows-sum-to-one``;
- a kind of input for which it must agree with the definition, such as ``plain``, ``mask`` or ``large-logits``;
- ``right``: no mistake. If every mistake has a deduction under ``mistakes``, ``right`` is worth what remains.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from headwise.checker.arguments.signatures import KINDS
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.probes import PROBES
from headwise.checker.reference.conventions import Requirements
from headwise.errors import DataError, require_extra
from headwise.grading.sandbox import Limits

PROPERTIES = {
    "runs": "it runs",
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
    **{name: f"the right output for {inputs}" for name, inputs in PROBES.items()},
    "right": "no mistake",
}


_TASK_KEYS = ("name", "function", "kind", "points", "mistakes", "conventions")


@dataclass(frozen=True, slots=True)
class Task:
    """One function of the exercise.

    Attributes
    ----------
    name : str
        Its name in the feedback.
    function : tuple of str
        Its name, and alternative names.
    kind : str
        The kind of function, as for `headwise.checker`; ``"auto"`` to infer it.
    points : dict of str to float
        Points by property.
    mistakes : dict of str to float
        Deductions from the points of ``right``. A mistake that is not listed costs all of them, a hazard that is not
        listed costs nothing.
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
    """The tasks of a class, and the limits of a submission while it is graded."""

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
        If there is no such file, or a part of it is invalid: the message names the part and the possible values.
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
    with require_extra("a rubric", "PyYAML", "lab"):
        import yaml
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise DataError("not a rubric: lists or mappings are nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError for a date or a number that Python cannot hold
        raise DataError(f"not YAML: {' '.join(str(error).split()).split('; use sys.')[0]}") from None


def _rubric(content: Any) -> Rubric:
    top = _mapping("the rubric", content, required=("tasks",), allowed=("title", "tasks", "limits"))
    if not isinstance(top["tasks"], list) or not top["tasks"]:
        raise DataError("tasks: expected a list with a task or more.")
    tasks = tuple(_task(f"task {number}", task) for number, task in enumerate(top["tasks"], 1))
    _check_distinct([task.name for task in tasks])
    return Rubric(_text("title", top.get("title", "Attention")), tasks, _limits(top.get("limits") or {}))


def _task(where: str, content: Any) -> Task:
    task = _mapping(where, content, ("function", "points"), _TASK_KEYS)
    names = task["function"] if isinstance(task["function"], list) else [task["function"]]
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise DataError(
                f"{where}, function: expected the name of a function, or a list of names; got {_show(name)}."
            )
    kind = task.get("kind", "auto")
    if kind not in ("auto", *KINDS):
        raise DataError(f"{where}, kind: expected {_either(('auto', *KINDS))}; got {_show(kind)}.")
    points = _numbers(f"{where}, points", task["points"], PROPERTIES)
    if not sum(points.values()):
        raise DataError(f"{where}, points: expected a property with points.")
    mistakes = _numbers(f"{where}, mistakes", task.get("mistakes") or {}, CATALOGUE)
    if mistakes and "right" not in points:
        raise DataError(
            f"{where}, mistakes: they are deducted from the points of `right`, which this task does not have."
        )
    conventions = task.get("conventions") or []
    try:
        Requirements.of(convention=[conventions] if isinstance(conventions, str) else conventions)
    except (DataError, TypeError) as error:
        raise DataError(f"{where}, conventions: {error}") from None
    conventions = (conventions,) if isinstance(conventions, str) else tuple(conventions)
    return Task(_text(f"{where}, name", task.get("name", names[0])), tuple(names), kind, points, mistakes, conventions)


def _limits(content: Any) -> Limits:
    types: dict[str, Any] = {field.name: type(field.default) for field in fields(Limits)}
    limits = _mapping("limits", content, (), tuple(types))
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
            raise DataError(f"limits, {name}: expected a number above 0; got {_show(value)}.")
    return Limits(**{name: types[name](value) for name, value in limits.items()})


def _mapping(where: str, content: Any, required: Iterable[str], allowed: Iterable[str]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise DataError(f"{where}: expected keys and values ({', '.join(allowed)}); got {type(content).__name__}.")
    for key in content:
        if key not in allowed:
            raise DataError(f"{where}: {_show(key)} is unknown; expected one of {', '.join(allowed)}.")
    for key in required:
        if key not in content:
            raise DataError(f"{where}: {key} is missing.")
    return content


def _text(where: str, content: Any) -> str:
    """A title or a name; YAML reads some as numbers or dates."""
    if isinstance(content, list | dict | bytes | None):
        raise DataError(f"{where}: expected text; got {_show(content)}.")
    return _show(content) if isinstance(content, int) else str(content)


def _show(value: Any) -> str:
    """A value from the file as it is quoted in a message: shortened, since it may be huge."""
    try:
        return reprlib.repr(value)
    except ValueError:  # more digits than Python prints
        return "a number of thousands of digits"


def _numbers(where: str, content: Any, known: Mapping[str, Any]) -> dict[str, float]:
    for name, value in _mapping(where, content, (), tuple(known)).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            raise DataError(f"{where}, {name}: expected a number of points, 0 or more; got {_show(value)}.")
    return {name: float(value) for name, value in content.items()}


def _check_distinct(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"tasks: {twice[0]!r} occurs twice; give each its own `name`.")


def _either(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
