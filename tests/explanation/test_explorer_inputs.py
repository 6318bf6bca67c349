"""What the explorer's page contains of texts, photographs, series and cross-attention; its size; comparisons."""

import base64
import io
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import headwise as hw
from headwise.errors import DataError
from headwise.explanation import Explorer, ExplorerInput, TokenLayout, explain, explore, explore_arrays, from_arrays
from headwise.explanation.explorer import build_views, choose_opening
from headwise.explanation.explorer.comparison import compare_records, find_differences
from headwise.explanation.explorer.fixed_point import pack, pack_weights
from headwise.figures import AttentionRecord
from helpers.checkpoints import write_folder
from helpers.commands import headwise

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "##s", "##ing", "run", "a", ".", "é", "e",
         "x", "y", "z", "w"]  # fmt: skip


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """The folder of a small random BERT with a vocabulary."""
    folder = write_folder(tmp_path_factory.mktemp("bert"), "bert", pad_token_id=0)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    return folder


def weights_of(shape, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(shape[-1], 0.3), shape[:-1]).astype(np.float32)


def text_record(layers, heads, tokens, seed=0, **arrays):
    words = tuple(f"w{i}" for i in range(tokens))
    return from_arrays(
        {"weights": weights_of((layers, heads, tokens, tokens), seed), **arrays}, TokenLayout(words=words)
    )


def dense(content):
    """The weights of a page, (V, N, M), in units of their last decimal."""
    packed = content["weights"]
    keys, counts = len(content["keys"]), np.ravel(packed["counts"])
    rows = np.zeros((len(counts), keys), np.int64)
    i = 0
    for row, count in enumerate(counts):
        columns = np.cumsum(packed["steps"][i : i + count]) - 1
        rows[row, columns] = packed["values"][i : i + count]
        i += count
    return rows.reshape(len(content["views"]), -1, keys)


# ---- packing


def test_all_weights_are_stored_if_they_fit(rng):
    matrices = list(rng.dirichlet(np.full(13, 0.2), (3, 7)))
    packed = pack_weights(matrices, 4, budget=10**6)
    assert (packed.decimals, packed.least) == (4, 1)
    content = {"weights": packed._asdict(), "keys": range(13), "views": range(3)}
    np.testing.assert_array_equal(dense(content), np.rint(np.array(matrices) * 10**4))


def test_the_smallest_weights_are_left_out_if_they_do_not_fit(rng):
    matrices = list(rng.dirichlet(np.full(31, 0.3), (5, 29)))
    packed = pack_weights(matrices, 4, budget=1500)
    assert packed.decimals == 3
    assert packed.least > 1
    assert len(zlib.compress(packed.values.astype(np.uint8).tobytes())) <= 1500
    content = {"weights": packed._asdict(), "keys": range(31), "views": range(5)}
    exact = np.rint(np.array(matrices) * 1000)
    np.testing.assert_array_equal(dense(content), np.where(exact >= packed.least, exact, 0))


def test_rows_without_a_stored_weight_do_not_shift_the_others():
    matrices = [np.array([[0.5, 0.5], [1.0, 0], [0, 0], [0, 1]]), np.array([[0, 0], [0, 1.0], [0, 0], [0, 0]])]
    packed = pack_weights(matrices, 3, budget=1000)
    content = {"weights": packed._asdict(), "keys": range(2), "views": range(2)}
    np.testing.assert_array_equal(dense(content), 1000 * np.array(matrices))


def test_packed_arrays_are_read_back(rng):
    arrays = {"small": rng.integers(0, 200, 37), "large": rng.integers(-1, 10**6, 11), "none": np.zeros(0, np.int64)}
    raw = zlib.decompress(base64.b64decode(pack({"text": "é", **arrays})))
    end = 4 + int.from_bytes(raw[:4], "little")
    head = json.loads(raw[4:end])
    assert head["text"] == "é"
    for name, array in arrays.items():
        offset, count, planes, minimum = head[name]["array"]
        parts = np.frombuffer(raw[end + offset : end + offset + count * planes], np.uint8).reshape(planes, count)
        read = minimum + (parts.astype(np.int64) << (8 * np.arange(planes)[:, None])).sum(axis=0)
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("layers", "heads", "tokens"), [(3, 4, 128), pytest.param(12, 12, 512, marks=pytest.mark.exhaustive)]
)
def test_a_page_has_at_most_three_megabytes(layers, heads, tokens):
    page = Explorer("", (ExplorerInput(text_record(layers, heads, tokens), "random"),)).page()
    assert len(page.encode()) <= 3_000_000


# ---- kinds of input


def test_a_pair_of_texts(bert):
    (content,) = explore(bert, ("The cats sat.", "A dog")).content()["inputs"]
    assert content["labels"] == ["[CLS]", "the", "cat", "##s", "sat", ".", "[SEP]", "a", "dog", "[SEP]"]
    assert [piece for piece, _ in content["pieces"]] == [
        "[CLS]", "The", "cat", "s", "sat", ".", "[SEP]", "A", "dog", "[SEP]",
    ]  # fmt: skip
    assert [gap for _, gap in content["pieces"]][2:6] == [1, 0, 1, 0]
    assert content["pieces"][7][1] == 2  # the second text is on a line of its own
    assert content["prefix"] == [0, 6, 9]
    assert content["keys"][0] == "[CLS]"
    assert content["keys"][6] != content["keys"][9]
    record = explain(bert, ("The cats sat.", "A dog"), test=False).record
    shown = build_views(record.weights)
    np.testing.assert_array_equal(dense(content)[content["views"].index("1.2")], np.rint(shown["1.2"] * 1000))


def test_words_are_merged_on_demand(bert):
    (content,) = explore(bert, "The cats sat.").content()["inputs"]
    assert content["merged"]["labels"] == ["[CLS]", "The", "cats", "sat", ".", "[SEP]"]
    record = explain(bert, "The cats sat.", test=False, merge_words=True).record
    np.testing.assert_array_equal(dense(content["merged"])[0], np.rint(record.weights[0, 0] * 1000))
    (whole,) = explore(bert, "the cat sat").content()["inputs"]
    assert whole["merged"] is None


def test_inputs_without_tokens_or_of_another_kind_are_refused(bert, tmp_path):
    with pytest.raises(DataError, match="no tokens but special ones"):
        explain(bert, "  ")
    with pytest.raises(DataError, match="this model reads texts"):
        explain(bert, tmp_path / "photo.png")
    with pytest.raises(DataError, match="layers: expected cross-attention over the whole input; the model has self"):
        explain(bert, "the cat", layers="cross", test=False)
    folder = write_folder(tmp_path / "vit", "vit")
    with pytest.raises(DataError, match="merge_words: expected self-attention over a text"):
        explain(folder, np.zeros((3, 10, 10)), test=False, merge_words=True)
    (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(DataError, match="expected an image file; got a text"):
        hw.load(folder).preprocess("a text")


@pytest.mark.exhaustive
def test_characters_without_a_font_are_drawn_without_warnings(bert, tmp_path):
    done = headwise("explain", "the cat 猫 sat \U0001f642", "--model", bert, folder=tmp_path)
    assert (done.returncode, "Glyph" in done.stderr) == (0, False)


def test_a_photograph_is_shown_at_the_models_size(tmp_path, rng):
    folder = write_folder(tmp_path / "vit", "vit")
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 10, "width": 10}, "do_resize": True})
    )
    pixels = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
    (content,) = explore(folder, pixels, names=["noise.png"]).content()["inputs"]
    assert content["name"] == "noise.png"
    assert content["size"] == [10, 10]
    shown = Image.open(io.BytesIO(base64.b64decode(content["picture"].split(",")[1])))
    assert shown.size == (10, 10)
    assert shown.mode == "RGB"
    assert content["outline"] == ""
    assert content["keys"][:2] == ["the class token", "token 1 (row 1, column 1)"]
    assert "ink" not in content["measures"]


def test_cross_attention_has_queries_of_its_own():
    arrays = {"weights": weights_of((2, 3, 5, 7)), "queries": np.array(["le", "chat", "dort", "ici", "."])}
    content = explore_arrays([arrays | {"words": np.array(list("abcdefg"))}], ["cross"]).content()["inputs"][0]
    assert content["queries"][1] == "query “chat”"
    assert len(content["keys"]) == 7
    assert set(content["measures"]) == {"entropy", "effective"}
    assert "rollout" not in content["views"]
    np.testing.assert_array_equal(dense(content)[0], np.rint(1000 * arrays["weights"][0, 0]))


def test_a_series_has_its_curves():
    record = AttentionRecord(
        np.array([[0.0, 5], [1, 5], [4, 5], [2, 5]], np.float32), np.array([[0, 2], [2, 4]]),
        weights_of((1, 2, 3, 3)), np.zeros(0, np.float32), kind="series",
    )  # fmt: skip
    content = Explorer("", (ExplorerInput(record, "curve"),)).content()["inputs"][0]
    assert content["curves"] == [[0, 250, 1000, 500], [0, 0, 0, 0]]
    assert content["keys"] == ["the class token", "token 1 (steps 0 to 1)", "token 2 (steps 2 to 3)"]


def test_arrays_without_a_layout_have_numbered_tokens(tmp_path):
    model = tmp_path / "attention.npz"
    np.savez(model, weights=weights_of((1, 2, 3, 5, 5)))
    done = headwise("explore", model, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "explorer.html: 1 input" in done.stdout


def test_prefix_tokens_are_labelled():
    names = ["[CLS]", "[REG1]", "[REG2]", "a", "b", "c"]
    record = AttentionRecord(
        np.zeros((2, 3), np.float32), np.array([[0, 0, 2, 1], [0, 1, 2, 1], [0, 2, 2, 1]]), weights_of((1, 2, 6, 6)),
        np.zeros(0, np.float32), prefix=np.array([1, 1, 1, 0, 0, 0], bool), words=tuple(names),
    )  # fmt: skip
    content = Explorer("", (ExplorerInput(record, "registers"),)).content()["inputs"][0]
    assert content["keys"] == ["the class token", "[REG1]", "[REG2]", "token 1", "token 2", "token 3"]
    assert content["measures"]["class"]["name"] == "weight on prefix tokens"


# ---- where the page opens


def test_it_opens_on_the_head_with_the_clearest_role():
    weights = weights_of((3, 4, 23, 23), seed=5) * 0.3 + 0.7 / 23
    weights[1, 2] = 0.1 / 23 + 0.9 * np.eye(23, k=-1)
    weights[1, 2, 0, 0] += 0.9
    weights[2, 0] = 0.05 / 23
    weights[2, 0, :, 0] += 0.95  # a clearer role, but a common one
    record = from_arrays({"weights": weights}, TokenLayout(words=tuple(f"w{i}" for i in range(23))))
    opening = choose_opening(record)
    assert opening.view == "1.2"
    assert "previous token" in opening.reason.values["role"]


def test_without_roles_it_opens_on_the_most_concentrated_head():
    weights = np.full((2, 2, 6, 6), 1 / 6)
    weights[1, 0] = 0.2 * weights[1, 0] + 0.8 * np.roll(np.eye(6), 2, axis=0)[::-1]
    record = from_arrays({"weights": weights}, TokenLayout(words=tuple("abcdef")))
    assert choose_opening(record).view == "1.0"


# ---- comparisons


def test_heads_of_equal_models_are_paired():
    a = text_record(3, 4, 11)
    same = compare_records(a, a)
    assert same["paired"]
    assert same["different"] == []
    assert all(row[5] == "1.000" and not row[6] for row in same["rows"])
    sharper = a.weights.astype(np.float64) ** 3
    b = text_record(3, 4, 11, seed=0)
    sharper_record = from_arrays({"weights": sharper / sharper.sum(-1, keepdims=True)}, TokenLayout(words=b.words))
    compared = compare_records(a, sharper_record)
    name, _, _, difference, interval, p, significant = compared["rows"][0]
    assert name.startswith("effective tokens")
    assert difference.startswith("−")
    difference, interval = (text.replace("−", "-") for text in (difference, interval))
    assert p == "0.001" or significant
    low, high = (float(end.rstrip("%")) for end in interval.split(" to "))
    assert low <= float(difference.rstrip("%")) <= high < 0
    assert len(compared["different"]) == 6


def test_other_heads_are_two_groups():
    compared = compare_records(text_record(3, 4, 11), text_record(2, 5, 13))
    assert not compared["paired"]
    assert not compared["same_tokens"]
    assert "have no counterparts" in compared["sentences"]
    assert "12 and 10 heads" in compared["sentences"]


# ---- the commands


def test_the_command_takes_any_model(bert, tmp_path):
    done = headwise("explore", bert, "The cats sat.", "--compare", bert, "--out", "page.html", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "page.html: 2 inputs" in done.stdout
    named = headwise("explore", "--model", bert, "--text", "the cat", "--text", "a dog", folder=tmp_path)
    assert named.returncode == 0, named.stderr
    for arguments, words in (((bert,), "input: expected"), ((bert, "missing.png"), "no such file")):
        wrong = headwise("explore", *arguments, folder=tmp_path)
        assert wrong.returncode == 2
        assert words in " ".join(wrong.stderr.split())


def test_an_explanation_can_be_explored(bert):
    explanation = hw.explain(hw.load(bert), "the cat sat", test=False)
    explorer = explanation.explorer()
    assert explorer.inputs[0].name == "the cat sat"
    assert len((explorer + explorer).inputs) == 2
    assert "Headwise explorer" in explorer._repr_html_()


def test_significant_differences_are_where_they_were_planted(rng):
    a, b = (text_record(3, 7, 13, seed=seed) for seed in (1, 1))
    weights = np.array(b.weights)
    weights[:, :, 4] += 0.2 * (np.arange(13) == 9)  # in all heads, of one query
    weights[1, 2, :, 5] += 0.3  # in all queries of a head
    b = replace(b, weights=weights)
    found = find_differences(a, b)
    assert np.cumsum(found["of_means"]["mean"]).tolist() == [4 * 13 + 9]
    assert np.cumsum(found["of_heads"]["1.2"]).tolist() == [5]
    assert len(found["of_heads"]["0.0"]) == 0
    assert found["of_means"].keys() == {"mean", "0.mean", "1.mean", "2.mean"}
    other = text_record(3, 5, 13)
    assert find_differences(a, other)["of_means"] == {}
    assert "different layers or heads" in find_differences(a, other)["sentence_of_none"]


@pytest.mark.exhaustive
def test_a_page_of_four_inputs_whose_differences_are_all_significant_is_small(rng):
    t, layers = 97, 3
    base = rng.dirichlet(np.ones(t), (layers, 7, t))
    inputs = [
        ExplorerInput(from_arrays({"weights": (0.9 * base + 0.1 * extra).astype(np.float32)},
                                  TokenLayout(words=tuple(f"w{n}" for n in range(t)))), str(i))
        for i, extra in enumerate(rng.dirichlet(np.ones(t), (4, t)))
    ]  # fmt: skip
    explorer = Explorer("", tuple(inputs))
    marks = find_differences(inputs[0].record, inputs[1].record)["of_means"]
    assert sum(map(len, marks.values())) > t * t / 2
    assert len(explorer.page()) < 3_000_000
