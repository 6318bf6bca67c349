"""Whether a step with a cache rotates its new token as if it were the first."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.checker.reference.definition import build, evaluate
from headwise.checker.reference.state import Case, Stage, Trace
from headwise.checker.search.mistakes import Explanation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array


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


def _output_with(definition: Explanation, case: Case, after_rotation: Stage) -> Array | None:
    result = evaluate(case, build((definition.habit, *definition.changes, {"+rotate": after_rotation})))
    return None if result is None else result.output
