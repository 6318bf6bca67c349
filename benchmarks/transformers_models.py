"""Capture the attention of every type of model in transformers, each small and random.

`python benchmarks/transformers_models.py` prints a line for each type. They are made from their default configuration
with smaller sizes; types for which that fails, or that do not run on random words, pixels or sounds, are counted.
"""

import argparse
import inspect
import os
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

import headwise as hw
from headwise.errors import HeadwiseError

SIZES = {
    32: "hidden_size d_model n_embd dim embedding_size emb_dim embed_dim width decoder_hidden_size projection_dim",
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers depth "
    "num_encoder_layers num_key_value_heads num_kv_heads num_experts_per_tok",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads "
    "num_encoder_attention_heads num_decoder_attention_heads num_experts n_routed_experts num_local_experts patch_size",
    48: "intermediate_size hidden_dim ffn_dim d_ff encoder_ffn_dim decoder_ffn_dim moe_intermediate_size mlp_dim",
    8: "head_dim d_kv v_head_dim qk_head_dim query_pre_attn_scalar num_mel_bins",
    12: "q_lora_rank kv_lora_rank",
    50: "vocab_size",
    40: "max_position_embeddings n_positions max_source_positions max_target_positions max_sequence_length",
    16: "image_size",
}
SMALLER = {name: size for size, names in SIZES.items() for name in names.split()}
SMALLER |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
SMALLER |= {"qk_rope_head_dim": 4, "qk_nope_head_dim": 4}
LARGEST = 40_000_000  # parameters
SECONDS = 60  # for making or running one model


@contextmanager
def limited_time() -> Iterator[None]:
    """Raise TimeoutError in what takes too long."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def smaller(config: Any) -> Any:
    """A configuration with smaller sizes, also in its parts."""
    for name, size in SMALLER.items():
        if isinstance(getattr(config, name, None), int | float):
            setattr(config, name, size)
    kinds = getattr(config, "layer_types", None)
    if kinds:
        config.layer_types = [kinds[0], next((kind for kind in kinds if kind != kinds[0]), kinds[0])]
    for name in getattr(config, "sub_configs", None) or ():
        if hasattr(part := getattr(config, name, None), "to_dict"):
            smaller(part)
    return config


def small_models() -> Iterator[tuple[str, torch.nn.Module | None]]:
    """Each type with a model in evaluation mode; None where it cannot be made so small."""
    for kind in sorted(MODEL_MAPPING_NAMES):
        torch.manual_seed(0)
        model = None
        try:
            with limited_time():
                config = smaller(transformers.CONFIG_MAPPING[kind]())
                with torch.device("meta"):
                    outline = transformers.AutoModel.from_config(config)
                if sum(parameter.numel() for parameter in outline.parameters()) < LARGEST:
                    model = transformers.AutoModel.from_config(config).float().eval()
        except Exception:  # whatever its configuration or an optional library raises
            model = None
        yield kind, model


def inputs_of(model: torch.nn.Module) -> dict[str, torch.Tensor] | None:
    """Random inputs with which a model runs, if there are any."""
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(3, 50, (2, 7), generator=generator)
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    values = {
        "input_ids": [words],
        "attention_mask": [mask],
        "decoder_input_ids": [words[:, :5]],
        "pixel_values": [torch.randn(2, 3, side, side, generator=generator) for side in (16, 32, 64)],
        "input_values": [torch.randn(2, 1600, generator=generator)],
        "input_features": [torch.randn(2, *sides, generator=generator) for sides in ((8, 80), (80, 8))],
    }
    taken = [name for name in values if name in inspect.signature(model.forward).parameters]
    for left_out in ((), ("attention_mask",), ("pixel_values", "input_features"), ("input_ids", "attention_mask")):
        names = [name for name in taken if name not in left_out]
        for number in range(max((len(values[name]) for name in names), default=0)):
            given = {name: values[name][number % len(values[name])] for name in names}
            try:
                with limited_time(), torch.no_grad():
                    model(**given)
            except Exception:  # it wants other inputs
                continue
            return given
    return None


def captured(model: torch.nn.Module) -> tuple[str, str]:
    """The result of recording a model: whether all layers are verified, or why there are none."""
    given = inputs_of(model)
    if given is None:
        return "does not run", ""
    try:
        with limited_time(), torch.no_grad():
            layers = hw.capture(model, **given).layers
    except (HeadwiseError, TimeoutError) as error:
        return "refused", str(error)
    messages = [layer.message for layer in layers if not layer.proven]
    return ("not verified", messages[0]) if messages else ("verified", f"{len(layers)} layers")


def main() -> None:
    """Print a line for each type, and how many there are of each result."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    counts = Counter[str]()
    for kind, model in small_models():
        result, details = ("not made", "") if model is None else captured(model)
        counts[result] += 1
        print(kind, result, " ".join(details.split())[:200], sep="\t", flush=True)
    print(f"transformers {transformers.__version__}:", dict(counts))


if __name__ == "__main__":
    main()
