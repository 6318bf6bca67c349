"""The interactive figure of the fourth part: a sample of a Gaussian, its least-squares line, and the loss."""

from __future__ import annotations

from importlib.resources import files

from headwise.document import Widget
from headwise.text import Statement


def gaussian_widget() -> Widget:
    """Sliders for the correlation and the sample size; the page draws and computes everything."""
    folder = files("headwise.coursework.report")
    markup, script = (folder.joinpath(f"gaussian_widget.{kind}").read_text(encoding="utf-8") for kind in ("html", "js"))
    return Widget(
        "gaussian-widget",
        Statement("Change the correlation and the sample size"),
        (
            Statement(
                "Left, a sample with the line of slope <w> that least squares fits to it, and the line of slope <c>. "
                "Right, the population loss as a function of <w>; the shaded band has the width of the interval that "
                "contains {level:.0%} of the estimates, and the dot is the estimate from this sample.",
                {"level": 0.95},
            ),
        ),
        markup,
        script,
    )
