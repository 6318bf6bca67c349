"""The vision transformer that the report trains: its architecture, the course of its training, its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from headwise.coursework.report.context import ReportContext
from headwise.document import Block, Paragraph, Section, Table
from headwise.figures import new_figure
from headwise.figures.colors import GRID, MARK, PALE_ACCENT
from headwise.text import Statement, pluralize
from headwise.train.run import TrainingRun

_LABELS = {
    "token": "tokens",
    "class_token": "class token",
    "positions": "positions",
    "norm": "final norm",
    "head": "classification head",
}


def model_section(run: TrainingRun, context: ReportContext) -> Section:
    """Draw the losses during training, and state the accuracy."""
    epochs = run.history
    held_out = [epoch for epoch in epochs if epoch.validation_loss is not None]
    figure = context.figure(
        draw_training(
            [epoch.train_loss for epoch in epochs],
            [float(epoch.validation_loss or 0) for epoch in held_out],
            [float(epoch.validation_accuracy or 0) for epoch in held_out],
        ),
        "training",
        Statement("Loss and accuracy during training"),
        shown=(_curve(run),),
        basis=Statement("One run, seed {seed}.", {"seed": run.recipe.seed}),
    )
    low, high = run.interval
    accuracy = Statement(
        "It classifies {right:,} of {tested:,} test digits correctly, {accuracy:.1%}; the {level:.0%} interval "
        "(Wilson) is {low:.1%} to {high:.1%}.",
        {
            "right": run.n_correct,
            "tested": run.n_test,
            "accuracy": run.accuracy,
            "level": 0.95,
            "low": low,
            "high": high,
        },
    )
    blocks: tuple[Block, ...] = (Paragraph(_architecture(run), _recipe(run), accuracy), figure, _parameters(run))
    return Section("training", "The model, trained here", blocks, number="2.1")


def _architecture(run: TrainingRun) -> Statement:
    tokenizer = run.config.image_tokenizer
    return Statement(
        "The model cuts {height} × {width} pixels into {tokens} tokens of {box_height} × {box_width}, embeds each in "
        "D = {d_model}, adds a class token and learned positions, and has {n_layers} pre-norm blocks of {n_heads} "
        "heads and an MLP of {d_ff}: {parameters:,} parameters, all trained here in NumPy.",
        {
            **asdict(run.config),
            **dict(zip(("height", "width"), run.config.image_size, strict=True)),
            **dict(zip(("box_height", "box_width"), tokenizer.patch_size, strict=True)),
            "tokens": tokenizer.num_tokens,
            "parameters": sum(array.size for array in run.params.values()),
        },
    )


def _recipe(run: TrainingRun) -> Statement:
    recipe = run.recipe
    epochs = pluralize(recipe.epochs, "epoch")
    return Statement(
        "It was trained on {images:,} digits of {data} for {epochs} with AdamW (peak learning rate {learning_rate:g}, "
        "weight decay {weight_decay:g}, batches of {batch_size}, warm-up over {warmup:.0%} of the steps, then half a "
        "cosine), with each digit shifted by up to {max_shift:g} pixels and rotated by up to {max_rotation:g}°, seed "
        "{seed}.",
        {**asdict(recipe), "images": run.n_train, "data": run.data, "epochs": epochs},
    )


def _curve(run: TrainingRun) -> Statement:
    last = run.history[-1]
    if last.validation_loss is None or last.validation_accuracy is None:
        return Statement(
            "Mean loss on the augmented training digits; there was no validation set. It ends at {train:.3f} nats.",
            {"train": last.train_loss},
        )
    return Statement(
        "Left, mean loss on the augmented training digits and on the validation digits; right, the validation "
        "accuracy. The training loss ends at {train:.3f} nats, the validation loss at {validation:.3f} with an "
        "accuracy of {accuracy:.1%}.",
        {"train": last.train_loss, "validation": last.validation_loss, "accuracy": last.validation_accuracy},
    )


def _parameters(run: TrainingRun) -> Table:
    parts: dict[str, int] = {}
    for name, array in run.params.items():
        first, second = name.split(".")[:2]
        labels = _LABELS | {"embedding": f"embedding: {_LABELS.get(second)}", "blocks": f"block {second}"}
        part = labels.get(first, first)
        parts[part] = parts.get(part, 0) + array.size
    rows = tuple((part, f"{size:,}") for part, size in parts.items())
    return Table(Statement("Parameters by part."), ("part", "parameters"), rows, "parameters")


def draw_training(
    train_loss: Sequence[float], validation_loss: Sequence[float], validation_accuracy: Sequence[float]
) -> Figure:
    """Loss on training and validation digits, and validation accuracy, epoch by epoch.

    The validation sequences may be empty, where nothing was held out.
    """
    epochs = range(1, len(train_loss) + 1)
    with new_figure(7.2, 2.4) as figure:
        loss, accuracy = figure.subplots(1, 2)
        loss.plot(epochs, train_loss, color=PALE_ACCENT, marker=".", ms=3, label="training (augmented)")
        if validation_loss:
            loss.plot(epochs, validation_loss, color=MARK, marker=".", ms=3, label="validation")
            accuracy.plot(epochs, validation_accuracy, color=MARK, marker=".", ms=3)
        loss.set(xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
        loss.legend()
        accuracy.set(xlabel="epoch", ylabel="validation accuracy")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for axes in (loss, accuracy):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y", linewidth=0.3, color=GRID)
    return figure
