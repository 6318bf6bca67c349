"""The README's picture and caption are what its command makes; its commands are all there."""

from pathlib import Path

import numpy as np

from headwise.cli import COMMANDS
from headwise.data.image_files import load_digit
from headwise.explanation import explain
from headwise.figures import AttentionRecord, CaptionedFigure
from headwise.train.checkpoint import pretrained_vit

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_picture_is_of_the_model_that_ships():
    saved = pretrained_vit()
    image = load_digit(ROOT / "examples/digit.png").image
    now = explain(saved, image, label=4).record
    shown = AttentionRecord.load(ROOT / "docs/picture/attention.npz")
    np.testing.assert_allclose(shown.weights, now.weights, atol=1e-5)
    np.testing.assert_allclose(shown.probabilities, now.probabilities, atol=1e-5)


def test_the_caption_is_the_pictures():
    written = CaptionedFigure(AttentionRecord.load(ROOT / "docs/picture/attention.npz")).caption.markdown()
    assert (ROOT / "docs/picture/attention.md").read_text(encoding="utf-8") == written
    assert written in README


def test_every_command_is_in_the_readme():
    for command in COMMANDS:
        assert f"`headwise {command}" in README


def test_the_card_is_the_weights():
    import hashlib

    weights = ROOT / "src/headwise/models/weights/vit-mnist-7x7.safetensors"
    card = weights.with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card
    assert weights.stat().st_size < 1_000_000
