"""Arrays for the logits that a function may be called without, and that it refuses in every form: it is not right."""

from __future__ import annotations

from textwrap import shorten

from headwise.checker.detection.mask_senses import OF_LOGITS
from headwise.checker.detection.refusal import UncallableError
from headwise.checker.search.findings import Findings

_OPTIONS = OF_LOGITS | {"slopes", "sinks", "segments"}


def refuse_untested_options(name: str, findings: Findings) -> None:
    """Raise UncallableError if a function is right without such an argument, and could not be called with it.

    One that says that it has not been implemented is refused by the function, and has no effect to be tested.
    """
    if not findings.is_right:
        return
    convention, calls = findings.convention, findings.calls
    for role in sorted(_OPTIONS & convention.interface.takes - convention.interface.needs):
        passed = [call.response for call in calls if role in call.probe.case and role in convention.names]
        refused = passed and all(response.output is None for response in passed)
        if refused and not passed[0].error.startswith("NotImplementedError"):
            argument = f"`{convention.names[role]}`"
            raise UncallableError(
                f"function: {name} is right without {argument}, but with it, it could not be checked: it raises"
                f" {shorten(passed[0].error, 160)}. Pass adapter= to make the call as {argument} has to be passed."
            )
