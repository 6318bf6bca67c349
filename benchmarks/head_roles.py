"""Roles of heads checked on models: random ones, MiniLM and SmolLM2; and the head by which rxnmapper aligns reactions.

`python benchmarks/head_roles.py` needs torch and transformers, and models/ as `make models` writes them.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import headwise as hw
from headwise.explanation import TokenLayout, explain, from_arrays

_SEEDS, _CLEAR = 5, 0.5
_MIDDLE = slice(4, 11)  # layers of rxnmapper's twelve
_SMILES = re.compile(r"\[[^\]]+\]|Br|Cl|>>|%\d\d|.")  # its tokens: atoms, bonds and rings
_REACTIONS = (
    "CC(=O)O.OCC>>CC(=O)OCC",
    "CC(=O)Cl.NCc1ccccc1>>CC(=O)NCc1ccccc1",
    "Brc1ccccc1.OB(O)c1ccncc1>>c1ccc(-c2ccncc2)cc1",
    "CCBr.Oc1ccccc1>>CCOc1ccccc1",
    "O=Cc1ccccc1.NC>>CNCc1ccccc1",
    "CC(=O)C.[BH4-]>>CC(O)C",
    "COC(=O)c1ccccc1.O>>OC(=O)c1ccccc1",
    "O=C=NC.OCC>>CCOC(=O)NC",
)
_TEXTS = (
    "red blue seven tree house red blue seven tree house red blue seven",
    "The committee said on Tuesday that the new bridge over the river would open next spring, but engineers warned "
    "that the work could take longer than planned because of the weather",
)


def random_models() -> dict[str, tuple[type, Any, int]]:
    """Class, configuration and number of tokens of models whose weights are drawn at random."""
    bert = {"vocab_size": 1000, "hidden_size": 192, "intermediate_size": 384}
    gpt2 = {"vocab_size": 1000, "n_embd": 192, "bos_token_id": 1, "eos_token_id": 1}
    return {
        f"{name}, {layers} × {heads} heads, {tokens} tokens": (model, config, tokens)
        for layers, heads, tokens in ((4, 4, 13), (12, 12, 31), (6, 8, 97))
        for name, model, config in (
            ("BERT", transformers.BertModel,
             transformers.BertConfig(num_hidden_layers=layers, num_attention_heads=heads, **bert)),
            ("GPT-2", transformers.GPT2Model, transformers.GPT2Config(n_layer=layers, n_head=heads, **gpt2)),
        )
    }  # fmt: skip


def roles_of_a_random_model(model: type, config: Any, tokens: int, seed: int, scale: float) -> tuple[int, int]:
    """How many heads have a role beyond chance, and how many heads there are."""
    torch.manual_seed(seed)
    module = model(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 2:
                parameter.mul_(scale)
    ids = np.random.default_rng(seed).choice(np.arange(5, 1000), (1, tokens), replace=False)
    roles = explain(module, {"input_ids": ids}, figure="roles", test=False).record.roles
    return int(roles.above_chance.sum()), roles.above_chance.size


def compare_with_the_matrices(path: Path, text: str) -> None:
    """Print how many heads put at least half of their weight on one relative or absolute place, and have its role."""
    record = explain(hw.load(path), text, figure="roles", test=False).record
    weights, roles = record.weights.astype(np.float64), record.roles
    n = weights.shape[2]
    late = np.arange(n) >= n // 2  # queries that see many tokens
    clear = {
        "first": weights[:, :, late, 0].mean(axis=-1),
        "previous": weights[:, :, np.arange(1, n), np.arange(n - 1)].mean(axis=-1),
        "self": weights[:, :, np.arange(n), np.arange(n)][..., late].mean(axis=-1),
    }
    for name, score in clear.items():
        has = roles.has[roles.names.index(name)]
        above = score >= _CLEAR
        print(f"{path.name}, {n} tokens, {name}: {above.sum()} heads, {(above & has).sum()} of them have the role")


def rank_by_alignment(folder: Path) -> None:
    """Print how rxnmapper's heads, over the middle layers, rank by their alignment of what is left and right of ``>>``.

    Schwaller et al., Science Advances 7 (2021), eabe4166, map atoms by head 5.
    """
    vocabulary = {word: i for i, word in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())}
    with tempfile.TemporaryDirectory() as converted:
        state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
        save_file({name: tensor.clone() for name, tensor in state.items()}, f"{converted}/model.safetensors")
        shutil.copy(folder / "config.json", converted)
        model = hw.load(converted)
        scores = []
        for reaction in _REACTIONS:
            words = ("[CLS]", *_SMILES.findall(reaction), "[SEP]")
            capture = hw.capture(model, input_ids=np.array([[vocabulary[word] for word in words]]))
            record = from_arrays({"weights": capture.weights()[0]}, TokenLayout(words=words))
            scores.append(record.roles.scores[record.roles.names.index("alignment")])
    layers = np.mean(scores, axis=0)
    middle = layers[_MIDDLE].mean(axis=0)
    print(f"rxnmapper, {len(_REACTIONS)} reactions: heads in order of alignment in layers {_MIDDLE.start} to "
          f"{_MIDDLE.stop - 1}: {np.argsort(-middle).tolist()}, scores {np.sort(middle)[::-1].round(2).tolist()}; best "
          f"head of each layer: {layers.argmax(axis=1).tolist()}")  # fmt: skip


def main() -> None:
    """Print the rates for random models, then the comparison for real ones."""
    for scale in (1.0, 4.0):
        for name, case in random_models().items():
            counts = np.array([roles_of_a_random_model(*case, seed, scale) for seed in range(_SEEDS)])
            found, heads = counts.sum(axis=0)
            print(f"{name}, weights × {scale:.0f}: {found} of {heads} heads have a role", flush=True)
    for path in (Path("models/minilm"), Path("models/smollm2.gguf")):
        for text in _TEXTS:
            compare_with_the_matrices(path, text)
    rank_by_alignment(Path("models/rxnmapper"))


if __name__ == "__main__":
    main()
