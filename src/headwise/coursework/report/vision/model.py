"""The vision transformer that the report trains: what it is made of, how it learned, what it reaches."""

from __future__ import annotations

from headwise.coursework.report.context import ReportContext
from headwise.document import Block, Paragraph, Section, Table
from headwise.figures import draw_training
from headwise.text import Statement, pluralize
from headwise.train.run import TrainingRun

__all__ = ["model_section"]

_WORDS = {
    "token": "tokens",
    "class_token": "class token",
    "positions": "positions",
    "norm": "last normalisation",
    "head": "classification head",
}


def model_section(run: TrainingRun, desk: ReportContext) -> Section:
    """Draw the course of the training, and state what was reached."""
    epochs = run.history
    held_out = [epoch for epoch in epochs if epoch.validation_loss is not None]
    figure = desk.figure(
        draw_training(
            [epoch.train_loss for epoch in epochs],
            [float(epoch.validation_loss or 0) for epoch in held_out],
            [float(epoch.validation_accuracy or 0) for epoch in held_out],
        ),
        "training",
        Statement("The course of the training"),
        shown=(_curve(run),),
        behind=Statement("One run, seed {seed}.", {"seed": run.recipe.seed}),
    )
    low, high = run.interval
    reached = Statement(
        "It reads {right:,} of {tested:,} test digits correctly, {accuracy:.1%}; the {level:.0%} interval (Wilson) is "
        "{low:.1%} to {high:.1%}.",
        {
            "right": run.n_correct,
            "tested": run.n_test,
            "accuracy": run.accuracy,
            "level": 0.95,
            "low": low,
            "high": high,
        },
    )
    blocks: tuple[Block, ...] = (
        Paragraph((_made_of(run), _trained_by(run), reached)),
        figure,
        _parameters(run),
    )
    return Section("training", "The model, trained here", blocks, number="2.1")


def _made_of(run: TrainingRun) -> Statement:
    cut = run.config.image_tokenizer
    return Statement(
        "The model cuts {height} × {width} pixels into {tokens} tokens of {box_height} × {box_width}, embeds each in "
        "D = {d}, adds a class token and learned positions, and has {depth} pre-norm blocks of {heads} heads and an "
        "MLP of {hidden}: {parameters:,} weights, all of them trained here in NumPy.",
        {
            "height": run.config.image_size[0],
            "width": run.config.image_size[1],
            "tokens": cut.num_tokens,
            "box_height": cut.patch_size[0],
            "box_width": cut.patch_size[1],
            "d": run.config.d_model,
            "depth": run.config.n_layers,
            "heads": run.config.n_heads,
            "hidden": run.config.d_ff,
            "parameters": sum(array.size for array in run.params.values()),
        },
    )


def _trained_by(run: TrainingRun) -> Statement:
    recipe = run.recipe
    return Statement(
        "It learned from {images:,} digits of {data} in {epochs} of AdamW (peak rate {rate:g}, decay {decay:g}, "
        "batches of {batch}, warm-up over {warmup:.0%} of the steps, then half a cosine), each digit shifted by up to "
        "{shift:g} pixels and turned by up to {rotate:g}°, seed {seed}.",
        {
            "images": run.n_train,
            "data": run.data,
            "epochs": pluralize(recipe.epochs, "epoch"),
            "rate": recipe.learning_rate,
            "decay": recipe.weight_decay,
            "batch": recipe.batch_size,
            "warmup": recipe.warmup,
            "shift": recipe.max_shift,
            "rotate": recipe.max_rotation,
            "seed": recipe.seed,
        },
    )


def _curve(run: TrainingRun) -> Statement:
    last = run.history[-1]
    if last.validation_loss is None or last.validation_accuracy is None:
        return Statement(
            "Mean loss on the training digits, as they were shifted and turned; nothing was held out. It ends at "
            "{train:.3f} nats.",
            {"train": last.train_loss},
        )
    return Statement(
        "Left, mean loss on the training digits, as they were shifted and turned, and on the digits held out to watch "
        "the learning by; right, how many of the latter are read correctly. The training loss ends at {train:.3f} "
        "nats, the validation loss at {validation:.3f} with {accuracy:.1%} right.",
        {"train": last.train_loss, "validation": last.validation_loss, "accuracy": last.validation_accuracy},
    )


def _parameters(run: TrainingRun) -> Table:
    parts: dict[str, int] = {}
    for name, array in run.params.items():
        first, second = name.split(".")[:2]
        part = {"embedding": f"embedding: {_WORDS.get(second)}", "blocks": f"block {second}"}.get(
            first, _WORDS.get(first)
        )
        parts[part or first] = parts.get(part or first, 0) + array.size
    rows = tuple((part, f"{size:,}") for part, size in parts.items())
    return Table(Statement("Weights by part."), ("part", "weights"), rows, "parameters")
