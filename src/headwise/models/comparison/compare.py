"""`compare_models`: where two models differ on one input, and which mistake explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.models.base import Model
from headwise.models.comparison.preprocessing import explain_inputs
from headwise.models.comparison.steps import Step, prepared, run_steps
from headwise.models.comparison.variants import Variant, variants_of
from headwise.models.frameworks import FrameworkModel
from headwise.models.loaded_model import LoadedModel

_TOLERANCE = {8: 5e-6, 4: 2e-4}  # relative error of equal steps, by the bytes of the type; rotations are in float32
_MISTAKES_AT_ONCE = 3


@dataclass(frozen=True)
class ModelComparison:
    """The result of a comparison."""

    same: bool  # whether all steps agree
    layer: int  # place of the first attention layer that differs: −1 for the input, the number of layers for the output
    part: str  # ``"input"``, or the part of that layer: see `headwise.models.comparison.steps.Step`
    error: float  # largest difference in that step, relative to its largest number
    # the mistakes that take one model to the other, in the order in which they were recognised; empty if none does
    codes: tuple[str, ...]
    text: str  # all of this in sentences


def compare_models(first: Model, second: Model, input: Any = None) -> ModelComparison:
    """Run two models on the same input, find the first step in which they differ, and the mistake that explains it.

    The steps are those that every framework shows: the input's arrays, and of each attention layer its values, weights
    and output; then the model's output. A mistake is named only if a loaded model with this mistake computes what the
    other model does. Where torch and loaded models are compared, both compute in float64.

    `first`, `second`: from `headwise.models.open_model`. To name a mistake, one of them must be one that
    `headwise.load` read.
    `input`: an input of the `Model` protocol, which each model prepares in its own way; or a mapping of arrays, which
    both receive. By default random token ids or pixels of the loaded model's size.
    Raises DataError if neither model says what inputs it takes.
    """
    first, second, precise = _precise(first, second)
    if input is None:
        input = _random_input(first, second)
    arrays = [_prepared_or_none(model, input) for model in (first, second)]
    usable = [a for a in arrays if a is not None]
    if not usable:
        raise DataError("input: neither model can prepare it; pass a mapping of arrays by the names of its arguments.")
    ours, theirs = (usable[0] if a is None else a for a in arrays)
    difference = explain_inputs(first, second, input, ours, theirs)
    if difference is not None:
        return ModelComparison(False, -1, "input", *difference)
    tolerance = _TOLERANCE[8 if precise else 4]
    steps = run_steps(first, ours), run_steps(second, ours)
    place, error = _first_difference(*steps, tolerance)
    if place is None:
        return ModelComparison(True, len(steps[0]), "output", error, (), f"They agree (largest error {error:.1e}).")
    step = steps[0][place] if place < len(steps[0]) else steps[0][-1]
    mistakes, full = _explanation(first, second, ours, steps, place, tolerance)
    text = f"They differ first in {_where(steps, place)} (error {error:.1e}). {_why(mistakes, full)}"
    return ModelComparison(False, step.layer, step.part, error, tuple(m.code for m in mistakes), text)


def _precise(first: Model, second: Model) -> tuple[Model, Model, bool]:
    """Both models in float64, if both can compute in it."""
    doubled: list[Model] = []
    for model in (first, second):
        if isinstance(model, LoadedModel):
            doubled.append(model.astype(np.float64))
        elif isinstance(model, FrameworkModel) and model.double is not None:
            doubled.append(model.double())
    return (doubled[0], doubled[1], True) if len(doubled) == 2 else (first, second, False)


def _random_input(first: Model, second: Model) -> Any:
    """Arrays of the size that a loaded model was made for."""
    for model in (first, second):
        if isinstance(model, LoadedModel):
            return model.random_arrays(np.random.default_rng(0))
    raise DataError("input: expected one, because neither model was loaded from a folder or .gguf file.")


def _prepared_or_none(model: Model, input: Any) -> dict[str, Any] | None:
    """The arrays that a model makes of an input; None if it has no tokenizer or preprocessing for it."""
    try:
        return prepared(model, input) or None
    except DataError:
        return None


def _first_difference(a: Sequence[Step], b: Sequence[Step], tolerance: float) -> tuple[int | None, float]:
    """The first place where steps differ and by how much; None and the largest error if none does."""
    largest = 0.0
    for place, (ours, theirs) in enumerate(zip(a, b, strict=False)):
        if ours.part != theirs.part:
            return place, float("inf")
        if ours.name != theirs.name and ours.part == "output" and ours.name and theirs.name:
            continue  # outputs of other heads
        error = ours.error(theirs)
        if error > tolerance:
            return place, error
        largest = max(largest, error)
    return (None, largest) if _last_layer(a) == _last_layer(b) else (min(len(a), len(b)), float("inf"))


def _last_layer(steps: Sequence[Step]) -> int:
    """Place of the last attention layer; −1 without any."""
    return max((step.layer for step in steps if step.part != "output"), default=-1)


def _explanation(
    first: Model,
    second: Model,
    arrays: dict[str, Any],
    steps: tuple[list[Step], list[Step]],
    place: int,
    tolerance: float,
) -> tuple[list[Variant], bool]:
    """Mistakes with which a loaded model computes what the other does, and whether they explain all of it."""
    best: list[Variant] = []
    for model, other, target in ((first, second, steps[1]), (second, first, steps[0])):
        if not isinstance(model, LoadedModel):
            continue
        mistakes, reached, current = [], place, model
        for _ in range(_MISTAKES_AT_ONCE):
            candidates = _candidates(current, other, arrays, target, reached, tolerance)
            if not candidates:
                break
            reached, _, variant = max(candidates, key=lambda c: (c[0], -c[1]))
            mistakes.append(variant)
            current = variant.model
            if reached >= len(target):
                return mistakes, True
        best = best or mistakes
    return best, False


def _candidates(
    model: LoadedModel, other: Model, arrays: dict[str, Any], target: list[Step], place: int, tolerance: float
) -> list[tuple[int, float, Variant]]:
    """Variants that agree with the target further than to a place: how far, the largest error, and the variant."""
    explanations = []
    for variant in variants_of(model, other if isinstance(other, LoadedModel) else None):
        try:
            steps = run_steps(variant.model, arrays)
        except (DataError, ValueError, IndexError):  # a variant that does not fit this model or input
            continue
        reached, error = _first_difference(steps, target, tolerance)
        if reached is None or reached > place:
            explanations.append((len(target) if reached is None else reached, error, variant))
    return explanations


def _where(steps: tuple[list[Step], list[Step]], place: int) -> str:
    """The step in words; what comes before the values of a later layer is the layer before it."""
    if any(place >= len(part) for part in steps):
        return f"the number of attention layers, {_last_layer(steps[0]) + 1} and {_last_layer(steps[1]) + 1}"
    ours, theirs = steps[0][place], steps[1][place]
    text = f"layer {ours.layer}, {ours}" if ours.part != "output" else str(ours).strip()
    if ours.array.shape != theirs.array.shape:
        text += f", whose shapes are {ours.array.shape} and {theirs.array.shape}"
    if ours.part == "values" and ours.layer:
        return f"{text}: after the attention of layer {ours.layer - 1}, in its output projection, its MLP or a norm"
    if ours.part == "values":
        return f"{text}: in the embedding, the first norm or the projection of the values"
    if ours.part == "weights":
        return f"{text}: in queries, keys, positions, mask or scale"
    return text


def _why(mistakes: Sequence[Variant], complete: bool) -> str:
    if not mistakes:
        return "No mistake that is known here explains it."
    mistake_texts = "; ".join(f"{mistake.code}: {mistake.text}" for mistake in mistakes)
    explained = "This explains the whole difference." if complete else "This explains a part; other differences follow."
    return f"{mistake_texts}. {explained}"
