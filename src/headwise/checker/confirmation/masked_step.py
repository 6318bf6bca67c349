"""A mask next to earlier tokens in a cache: of all keys, or of the new ones alone, as modules take it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.values import present_masks
from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray


@dataclass(frozen=True, slots=True)
class StepMask:
    """A mask of all tokens, of which each call gets its part."""

    convention: CallingConvention
    case: Case
    visible: BoolArray  # (B, 1, N, N)
    of_new_keys: bool  # whether a call gets only the columns of its own tokens
    form: int = 0  # which of the shapes in use it has

    def arguments(self, first: int, last: int | None) -> dict[str, Any]:
        """The mask for the tokens from `first` to `last`, by the name of its argument."""
        places = range(self.case["X"].shape[1])[first:last]
        keys = slice(places.start if self.of_new_keys else 0, places.stop)
        X, mask = self.case["X"], self.visible[:, :, first:last, keys]
        case = {**self.case, "X": X[:, first:last], "context": X[:, keys], "mask": mask}
        presented = list(present_masks(self.convention, case, self.convention.interface.axes))[self.form]["mask"]
        return {str(self.convention.names["mask"]): self.convention.convert(presented)}


def step_masks(convention: CallingConvention, case: Case, new: int) -> Iterator[tuple[Array, list[StepMask]]]:
    """Masks that hide later tokens, and one earlier from the new, in each form; and the outputs with them."""
    if not isinstance(convention.names.get("mask"), str) or convention.interface.key_mask:
        return
    batch, count = case["X"].shape[:2]
    for of_new_keys in (False, True):
        visible = np.tri(count, dtype=bool)
        visible[-new:, 1] = of_new_keys  # the columns of new keys say nothing of earlier ones
        mask = np.broadcast_to(visible, (batch, 1, count, count))
        masked = {**case, "mask": mask}
        forms = range(len(list(present_masks(convention, masked, convention.interface.axes))))
        if (expected := convention.call(masked).output) is not None:
            yield expected, [StepMask(convention, case, mask, of_new_keys, form) for form in forms]
