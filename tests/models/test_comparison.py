"""Two loaded models on one input, without any framework: planted options are located and named."""

import json

import numpy as np
import pytest

from headwise.models import open_model
from headwise.models.comparison import compare_models
from helpers.checkpoints import write_folder


def edited(folder, **options):
    """The folder with other options in its configuration."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | options))
    return open_model(folder)


@pytest.mark.parametrize(
    ("family", "wrong", "layer", "part", "code"),
    [
        ("bert", {"hidden_act": "quick_gelu"}, 1, "values", "activation"),
        ("bert", {"layer_norm_eps": 1e-2}, 0, "values", "norm-epsilon"),
        ("llama", {"rope_theta": 31000.0}, 0, "weights", "rope-base"),
        ("vit", {"hidden_act": "relu"}, 1, "values", "activation"),
    ],
)
def test_planted_options(family, wrong, layer, part, code, tmp_path):
    right = open_model(write_folder(tmp_path / "right", family))
    other = edited(write_folder(tmp_path / "wrong", family), **wrong)
    assert compare_models(right, right).same
    comparison = compare_models(other, right)
    assert (comparison.same, comparison.layer, comparison.part, comparison.codes) == (False, layer, part, (code,))
    assert code in comparison.text


def test_another_difference_is_located_and_not_named(tmp_path):
    right = open_model(write_folder(tmp_path, "bert"))
    name = "blocks.0.mlp.output.weight"
    changed = {**right.params, name: right.params[name] * np.float32(1.5)}
    comparison = compare_models(right, type(right)(right.checkpoint, right.architecture, changed))
    assert (comparison.layer, comparison.part, comparison.codes) == (1, "values", ())


def test_token_ids_without_the_special_tokens(tmp_path):
    """The second model is called with a text that its tokenizer leaves bare."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "the": 3, "cat": 4}
    models = []
    for special in (True, False):
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        if special:
            tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
        folder = write_folder(tmp_path / str(special), "bert")
        tokenizer.save(str(folder / "tokenizer.json"))
        models.append(open_model(folder))
    comparison = compare_models(*models, "the cat")
    assert (comparison.layer, comparison.part, comparison.codes) == (-1, "input", ("preprocessing",))
    assert "the second model's input lacks the tokens [1, 2]" in comparison.text
