"""The gallery: every kind of figure, drawn at build by the line shown below it, and those of the experiments."""

import tempfile
from functools import cache
from pathlib import Path

import headwise as hw
from headwise.figures import FIGURES, save_one
from headwise.train.checkpoint import pretrained_vit

ROOT = Path(__file__).parents[2]
TOKEN = 6  # for the figures of one token
TEXT_ONLY = {"lines": "Words connected by lines"}
EXPERIMENTS = {  # a picture of the documentation: what it shows, the command that draws it, and its page
    "tokenizers-accuracy.png": (
        "Accuracy of the same transformer with different tokenizers",
        "headwise study tokenizers",
        "tokenizers.md",
    ),
    "tokenizers-positions.png": (
        "What position embeddings learn of an image's geometry",
        "headwise study tokenizers",
        "tokenizers.md",
    ),
    "faithfulness-gains.png": (
        "How attribution maps compare with Shapley values",
        "headwise study faithfulness --data DIR",
        "faithfulness.md",
    ),
    "faithfulness-curves.png": (
        "Deletion and insertion curves of every map",
        "headwise study faithfulness --data DIR",
        "faithfulness.md",
    ),
    "faithfulness-randomization.png": (
        "Maps of a model whose layers are randomized",
        "headwise study faithfulness --data DIR",
        "faithfulness.md",
    ),
    "series-accuracy.png": (
        "Accuracy of classifiers of time series",
        "headwise study series JapaneseVowels --seeds 10",
        "series.md",
    ),
    "series-attention.png": (
        "What a model of spoken vowels attends to",
        "headwise study series JapaneseVowels --seeds 10",
        "series.md",
    ),
}


@cache
def gallery_pages():
    """The page and its images, by path."""
    images = {}
    lines = [
        "# Gallery",
        "",
        "Every figure with the line that makes it. The first part is drawn when this page is built, from the digit "
        "`examples/digit.png` and the pretrained model; each comes with a caption, its arrays, and PNG, SVG and PDF.",
        "",
        "## What a model attends to",
        "",
    ]
    for kind in FIGURES:
        if kind in TEXT_ONLY:
            lines += [f"### {TEXT_ONLY[kind]}", "", "Drawn of texts only.", ""]
            lines += ["```console", f"$ headwise explain --model FOLDER --text TEXT --figure {kind}", "```", ""]
            continue
        figure, line = _draw(kind)
        name = f"{figure.stem}.svg"
        images[f"gallery/{name}"] = _svg(figure)
        caption = figure.caption
        lines += [f"### {caption.paragraphs()[0]}", "", f"![{caption.alt()}](gallery/{name})", ""]
        lines += ["```console", f"$ {line}", "```", ""]
        lines += ['??? note "The caption"', "", *(f"    {part}\n" for part in caption.markdown().split("\n\n")[1:]), ""]
    lines += ["## Experiments", ""]
    for picture, (title, line, page) in EXPERIMENTS.items():
        lines += [f"### {title}", "", f"![{title}](picture/{picture})", "", "```console", f"$ {line}", "```", ""]
        lines += [f"Measured and discussed in [{page}]({page}).", ""]
    return {"gallery.md": "\n".join(lines), **images}


def _draw(kind):
    """The figure of this kind, and the command that draws it."""
    model, image, option = pretrained_vit(), ROOT / "examples/digit.png", f"--figure {kind}"
    if FIGURES[kind].per_token:
        explanation, option = hw.explain(model, image, label=4, token=TOKEN, test=False), f"--token {TOKEN}"
    else:
        explanation = hw.explain(model, image, label=4, figure=kind, test=FIGURES[kind].needs_test)
    return explanation.figures[0], f"headwise explain examples/digit.png --label 4 {option}"


def _svg(figure):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        save_one(figure.draw(), path)
        return path.read_bytes()
