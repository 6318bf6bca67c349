"""Where a step with a cache places its new tokens: after those in the cache, or as if they were the first."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.checker.reference.definition import build, evaluate
from headwise.checker.reference.state import Case, Stage, Trace
from headwise.checker.search.mistakes import Explanation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray


def outputs_as_first(definition: Explanation, case: Case) -> Iterator[Array]:
    """The output of the last token if its query and key, or one of them, are rotated as those of the first token."""
    recorded: dict[str, Array] = {}

    def note(t: Trace) -> None:
        recorded.update({name: getattr(t, name)[..., :1, :] for name in "qk"})

    _output_with(definition, {**case, "X": np.roll(case["X"], 1, axis=1)}, note)
    for which in ("qk", "q", "k"):

        def put(t: Trace, which: str = which) -> None:
            for name in which:
                setattr(t, name, np.concatenate([getattr(t, name)[..., :-1, :], recorded[name]], axis=-2))

        output = _output_with(definition, case, put)
        if output is not None:
            yield output[:, -1:]


def outputs_from_start(definition: Explanation, case: Case, new: int) -> Iterator[Array]:
    """The outputs of new tokens of which the first sees the first key, and the next the first two."""
    return outputs_of_last(definition, case, np.tri(new, case["X"].shape[1], dtype=bool))


def outputs_of_last(definition: Explanation, case: Case, visible: BoolArray) -> Iterator[Array]:
    """The outputs of the last tokens if they see these keys; their positions are those in the whole sequence."""
    mask = np.tri(case["X"].shape[1], dtype=bool)
    mask[-len(visible) :] = visible
    result = definition.answer({**case, "causal": False, "mask": mask[None, None]})
    if result is not None:
        yield result.output[:, -len(visible) :]


def _output_with(definition: Explanation, case: Case, after_rotation: Stage) -> Array | None:
    result = evaluate(case, build((definition.habit, *definition.changes, {"+rotate": after_rotation})))
    return None if result is None else result.output
