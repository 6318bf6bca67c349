"""The outputs of a loaded model, by the names that transformers uses."""

from __future__ import annotations

from typing import Any


class ModelOutput(dict[str, Any]):
    """Arrays by name, also as attributes: ``output["logits"]`` or ``output.logits``.

    Examples
    --------
    >>> ModelOutput(last_hidden_state=0).last_hidden_state
    0
    >>> ModelOutput(last_hidden_state=0).logits
    Traceback (most recent call last):
    ...
    AttributeError: this model has no output 'logits'; it has last_hidden_state.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this model has no output {name!r}; it has {', '.join(self)}.") from None
