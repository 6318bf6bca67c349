"""``headwise explain`` as a user types it."""

import json

import numpy as np
import pytest

from headwise.data.mnist import load_bundled_mnist
from headwise.explanation import explain
from headwise.figures import AttentionRecord, select_figures
from headwise.models import ViT, ViTConfig
from headwise.models.vit import vit_params
from helpers.checkpoints import write_folder
from helpers.commands import headwise


def test_a_text_has_a_folder_named_after_it(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"time": 0, "flies": 1, "?": 2}, "?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(write_folder(tmp_path / "model", "llama") / "tokenizer.json"))
    shown = headwise("explain", "time flies", "--model", "model", "--json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    files = json.loads(shown.stdout)["files"]
    assert "time-flies-attention/attention-matrices.png" in files
    assert all((tmp_path / path).is_file() for path in files)
    assert headwise("explain", "--text", "time", folder=tmp_path).stderr.startswith(
        "headwise: --text: expected --model"
    )


@pytest.mark.exhaustive
def test_arrays_are_written_once_and_every_figure_can_be_captioned_again(tmp_path, rng):
    model = ViTConfig(tokenizer="14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    figures = ["maps", "rollout", "depth", "deletion"]
    digit = load_bundled_mnist().test.images[0]
    explanation = explain(ViT(model, vit_params(model, rng)), digit, figure=figures)
    explanation.save(tmp_path)
    contents = {}
    for path in tmp_path.glob("*.npz"):
        with np.load(path) as saved:
            contents[path.name] = set(saved.files)
    test = {"ranking", "curves", *(name for name in contents["attention.npz"] if name.startswith("faithfulness_"))}
    assert contents.keys() == {"attention.npz", "attention-rollout.npz"}
    assert contents["attention-rollout.npz"] == test | {"other_arrays"}
    for figure in explanation.figures:
        path = tmp_path / f"{figure.stem}.npz"
        saved = AttentionRecord.load(path if path.exists() else tmp_path / "attention.npz")
        [again] = select_figures(saved, figure.kind)
        assert again.caption == figure.caption
    again = headwise("caption", "attention-rollout.npz", "--figure", "rollout", "--full", folder=tmp_path)
    assert " ".join(explanation.captions["rollout"].text(full=True).split()) in " ".join(again.stdout.split())


@pytest.mark.parametrize("name", ["a.npz", "..", "../b.npz", "/b.npz", "c.npz"])
def test_a_file_refers_to_another_in_its_folder(name, tmp_path):
    np.savez(tmp_path / "a.npz", other_arrays=name)
    failed = headwise("caption", "a.npz", folder=tmp_path)
    assert failed.returncode == 2
    assert ("c.npz: no such file" if name == "c.npz" else "other_arrays: expected the name of another") in failed.stderr
