"""``headwise caption`` as a user types it."""

import json

import numpy as np
import pytest

from helpers.commands import headwise


def test_arrays_of_another_framework(rng, tmp_path):
    layers = {f"layer{i}": rng.dirichlet(np.full(7, 0.3), (1, 2, 7)).astype(np.float32) for i in range(3)}
    np.savez(tmp_path / "a.npz", **layers)
    shown = headwise(
        "caption", "a.npz", "--grid", "2x3", "--patch", "4x4", "--class-token", "last", "--full", folder=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    share = layers["layer2"][0, 1, 6, 6]
    top = max(layer[0, :, 6, :6].max() for layer in layers.values())
    assert f"from 0 to {top:.3f}, the largest weight drawn" in text
    assert "N = 6 tokens of 4 × 4 pixels" in text
    assert "Faithfulness was not tested" in text
    assert shown.stderr == ""
    folder = tmp_path / "a-attention"
    assert {path.name for path in folder.iterdir()} == {
        f"attention.{end}" for end in ("png", "svg", "pdf", "npz", "md", "tex", "txt", "alt.txt", "json")
    }
    with np.load(folder / "attention.npz") as saved:
        assert saved["weights"][2, 1, 0, 0] == share
    # what was saved can be captioned again without a layout
    again = headwise("caption", "a-attention/attention.npz", "--token", 4, "--json", "--out", "b", folder=tmp_path)
    told = json.loads(again.stdout)
    assert any("row A(l,h)[n, m]" in sentence for sentence in told["caption"])
    assert (tmp_path / "b" / "attention-token-4.tex").exists()
    assert told["alternative"][0].startswith("What token 4 attends to")

    # but not with one, because the file contains it
    refused = headwise("caption", "a-attention/attention.npz", "--grid", "3x2", "--out", "c", folder=tmp_path)
    assert refused.returncode == 2
    assert "was saved by Headwise and contains its layout" in " ".join(refused.stderr.split())
    # arrays of the same names that are not a record's
    w, image = rng.dirichlet(np.full(7, 0.3), (1, 2, 7)), np.zeros((8, 12))
    np.savez(tmp_path / "d.npz", weights=w, image=image, boxes=np.zeros(3))
    assert headwise("caption", "d.npz", "--grid", "2x3", folder=tmp_path).returncode == 0


def test_words_from_a_file_of_any_editor(rng, tmp_path):
    np.savez(tmp_path / "a.npz", w=rng.dirichlet(np.ones(2), (2, 2)))
    (tmp_path / "words.txt").write_text("\ufeffGrüße\r\nwelt\r\n", encoding="utf-8")
    shown = headwise("caption", "a.npz", "--tokens", "words.txt", "--out", "b", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    with np.load(next((tmp_path / "b").glob("*.npz"))) as saved:
        assert saved["words"].tolist() == ["Grüße", "welt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.npz",), "with a class token 6"),
        (("a.npz", "--grid", "2by3"), "--grid: expected rows x columns, such as 4x4"),
        ((".",), ".: is a folder; expected a file"),
        (("a.npz", "--grid", "2x3", "--token", "7"), "token: 0 for the class token, or 1 to 6"),
        (("a.npz", "--grid", "2x3", "--figure", "positions"), "these arrays have none"),
    ],
)
def test_a_plain_error_on_one_line(rng, tmp_path, arguments, message):
    np.savez(tmp_path / "a.npz", w=rng.dirichlet(np.ones(7), (2, 7)))
    shown = headwise("caption", *arguments, folder=tmp_path)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert len(shown.stderr.strip().splitlines()) == 1
    assert message in shown.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
