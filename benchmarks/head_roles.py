"""Roles of heads checked on models that the thresholds were not set on: random ones, MiniLM and SmolLM2.

`python benchmarks/head_roles.py` needs torch and transformers, and models/minilm and models/smollm2.gguf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import headwise as hw
from headwise.explanation import explain

_SEEDS, _CLEAR = 5, 0.5
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


if __name__ == "__main__":
    main()
