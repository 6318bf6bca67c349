"""An adapter to fill in, for a module that the checker cannot call by itself."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.checker.arguments.roles import role_of
from headwise.checker.modules.heads import head_count_attribute
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.matrices import Parts, collect_parts


def adapter_skeleton(layer: Layer) -> str:
    """What to do about a module that cannot be called: an adapter for an instance of it, to be filled in at ``...``."""
    parts = collect_parts(layer.parameters)
    heads = head_count_attribute(layer)
    arguments = ["X", "Wq", "Wk", "Wv", *["Wo"] * ("o" in parts.weights), *["heads"] * (heads is not None)]
    lines = list(_of_torch(layer, parts, heads)) if layer.framework == "torch" else list(_of_others(layer))
    body = "\n".join(f"        {line}" for line in lines)
    return (
        "\nOr pass an instance and adapter= to make the call, starting from\n\n"
        f"    def adapter(module, {', '.join(arguments)}):  # X (B, N, D), matrices (out, in)\n{body}\n"
    )


def _of_torch(layer: Layer, parts: Parts, heads: str | None) -> Iterator[str]:
    yield "own = dict(module.named_parameters())"
    for part, matrix in parts.weights.items():
        rows = f"W{part}" if len(part) == 1 else f"np.concatenate([{', '.join(f'W{x}' for x in part)}])"
        rows = f"{rows}.T" if matrix.stored[0].axes == "io" else rows
        first = matrix.stored[0]
        if len(matrix.stored) == 1 and len(matrix.shape) == 2:
            of_kernel = f"[..., {', '.join(['None'] * (len(first.shape) - 2))}]" if len(first.shape) > 2 else ""
            yield f'own["{first.name}"].data = torch.as_tensor({rows}){of_kernel}'
        else:
            yield f'own["{first.name}"].data = ...  # {first.shape}'
    for part, bias in parts.biases.items():
        count = " + ".join(f"len(W{x})" for x in part)
        yield from (f'own["{p.name}"].data = torch.zeros({count}, dtype=torch.float64)' for p in bias.stored)
    if heads is not None:
        yield f"module.{heads} = heads  # and what else depends on it"
    yield f"output = module({_passed(layer, 'torch.as_tensor(X)')})"
    yield "return (output[0] if isinstance(output, tuple) else output).detach().numpy()"


def _of_others(layer: Layer) -> Iterator[str]:
    yield f"...  # put the matrices into {', '.join(p.name for p in layer.parameters)}"
    yield f"return module({_passed(layer, 'X')})"


def _passed(layer: Layer, tokens: str) -> str:
    """The arguments that have to be passed: tokens for the first, and for those whose names say so."""
    parameters = layer.arguments.values()
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    of_tokens = {p.name for place, p in enumerate(required) if not place or role_of(p.name) in ("X", "q", "k", "v")}
    return ", ".join(f"{p.name}={tokens if p.name in of_tokens else '...'}" for p in required) or tokens
