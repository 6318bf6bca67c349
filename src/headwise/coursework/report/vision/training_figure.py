"""The course of a training run."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from headwise.figures import new_figure

_TRAIN, _VALIDATION = "#7a9cc6", "#c2571a"


def draw_training(
    train_loss: Sequence[float], validation_loss: Sequence[float], validation_accuracy: Sequence[float]
) -> Figure:
    """Loss on training and validation digits, and validation accuracy, epoch by epoch.

    The validation sequences may be empty, where nothing was held out.
    """
    epochs = range(1, len(train_loss) + 1)
    with new_figure(7.2, 2.4) as figure:
        loss, accuracy = figure.subplots(1, 2)
        loss.plot(epochs, train_loss, color=_TRAIN, marker=".", ms=3, label="training (augmented)")
        if validation_loss:
            loss.plot(epochs, validation_loss, color=_VALIDATION, marker=".", ms=3, label="validation")
            accuracy.plot(epochs, validation_accuracy, color=_VALIDATION, marker=".", ms=3)
        loss.set(xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
        loss.legend()
        accuracy.set(xlabel="epoch", ylabel="validation accuracy")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for axes in (loss, accuracy):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y", linewidth=0.3, color="#dddddd")
    return figure
