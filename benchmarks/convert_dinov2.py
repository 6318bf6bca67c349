"""Write the DINOv2-S of ``models/dinov2-s.onnx`` as a folder that `headwise.load` reads: ``models/dinov2-s/``.

The names of the graph's nodes are those of transformers' modules, and so are most initialisers; matrices of linear
layers are stored transposed under numbers, and are named here by the node that multiplies with them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

CONFIG = {
    "architectures": ["Dinov2Model"], "model_type": "dinov2", "hidden_size": 384, "num_hidden_layers": 12,
    "num_attention_heads": 6, "mlp_ratio": 4, "image_size": 518, "patch_size": 14, "num_channels": 3,
    "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True, "use_swiglu_ffn": False,
}  # fmt: skip
PREPROCESSOR = {
    "do_resize": True, "size": {"height": 224, "width": 224}, "resample": 3, "do_rescale": True,
    "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
}  # fmt: skip
PREFIX = "backbone."


def tensors(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The backbone's tensors by the names that transformers gives them."""
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    weights = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in arrays:
            name = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{name}.weight"] = np.ascontiguousarray(arrays[node.input[1]].T)
    (of_class,) = (a for name, a in arrays.items() if name.startswith("onnx::Concat_") and a.shape == (1, 1, 384))
    (of_patches,) = (a for name, a in arrays.items() if name.startswith("onnx::Reshape_") and a.shape == (1, 1369, 384))
    weights["embeddings.position_embeddings"] = np.concatenate([of_class, of_patches], axis=1)
    return weights


def convert(source: Path, folder: Path) -> None:
    """Write config.json, preprocessor_config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(onnx.load(source)), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))


def main() -> None:
    """Convert the file that ``make models`` downloads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="?", default=Path("models/dinov2-s.onnx"))
    parser.add_argument("folder", type=Path, nargs="?", default=Path("models/dinov2-s"))
    args = parser.parse_args()
    convert(args.source, args.folder)


if __name__ == "__main__":
    main()
