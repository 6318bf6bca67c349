"""Layers of torch: nn.Module, its linear layers and convolutions, and Conv1D of transformers."""

from __future__ import annotations

import contextlib
import copy
import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headwise.checker.modules.layer import Layer, Parameter, documentation_of, signature_of_method
from headwise.checker.modules.matrices import names_table
from headwise.checker.modules.names import bias_role, is_formula, is_norm, is_turned_off, role_of
from headwise.checker.modules.own_caches import with_own_cache
from headwise.checker.modules.torch_memory import TorchMemory
from headwise.checker.modules.torch_types import in_float64
from headwise.checker.modules.whole_numbers import configurations, numbers_of_parts
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of
from headwise.errors import DataError
from headwise.shapes import Array


def is_torch_module(value: Any) -> bool:
    """Whether a value is a module of torch; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def is_torch_tensor(value: Any) -> bool:
    """Whether a value is a tensor of torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def torch_tensor(array: Array) -> Any:
    """A tensor of an array, which may be written to."""
    import torch

    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def is_torch_class(value: Any) -> bool:
    """Whether a value is a class of torch modules."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, type) and issubclass(value, torch.nn.Module)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread: for arrays as small as ours, threads only wait for each other."""
    torch = sys.modules.get("torch")
    before = 1 if torch is None else torch.get_num_threads()
    if torch is None or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def without_dropout() -> Iterator[None]:
    """Let the dropout functions of torch do nothing, where the layer does not turn them off by itself."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    functional = torch.nn.functional
    dropout, attention = functional.dropout, functional.scaled_dot_product_attention

    def unchanged(input: Any, *args: Any, **kwargs: Any) -> Any:
        return input

    def undropped(
        query: Any, key: Any, value: Any, mask: Any = None, rate: float = 0.0, *args: Any, **kwargs: Any
    ) -> Any:
        passed_mask = kwargs.pop("attn_mask", mask)
        kwargs.pop("dropout_p", rate)
        return attention(query, key, value, passed_mask, 0.0, *args, **kwargs)

    functional.dropout, functional.scaled_dot_product_attention = unchanged, undropped
    try:
        yield
    finally:
        functional.dropout, functional.scaled_dot_product_attention = dropout, attention


_EPSILON = {"eps", "epsilon", "variance_epsilon", "layer_norm_eps", "norm_eps"}
_IMPLEMENTATION = re.compile(r"flash|fused|sdpa|mem(ory)?_?efficient|xformers", re.IGNORECASE)
_WRAPPERS = {"OptimizedModule", "DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"}


def unwrapped(module: Any) -> Any:
    """The module that one of `torch.compile`, or for several devices, passes its arguments on to."""
    if is_torch_module(module) and type(module).__name__ in _WRAPPERS:
        return unwrapped(next(module.children()))
    return module


def _simplify(module: Any) -> None:
    """Let a module's parts compute by themselves, with weights that are arrays, not made of others at each call."""
    from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm

    removals = {"WeightNorm": remove_weight_norm, "SpectralNorm": remove_spectral_norm}
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            setattr(part, name, unwrapped(child))
        for hook in list(part._forward_pre_hooks.values()):
            if remove := removals.get(type(hook).__name__):
                remove(part, hook.name)
            elif isinstance(hook, prune.BasePruningMethod):
                prune.remove(part, hook._tensor_name)
        if parametrize.is_parametrized(part):
            part.__class__ = _copy_class(type(part))  # which loses a property, and is that of the user's module too
            for name in list(part.parametrizations):
                parametrize.remove_parametrizations(part, name)
        _join_groups(part)


def _copy_class(cls: type) -> type:
    attributes = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    return type(cls.__name__, cls.__bases__, attributes)


def _join_groups(part: Any) -> None:
    """Let a convolution of one place that takes its channels in groups take them all, with the same output."""
    import torch

    is_conv = isinstance(part, torch.nn.Conv1d | torch.nn.Conv2d) and {*part.kernel_size} == {1}
    if is_conv and 1 < part.groups < part.in_channels:
        joined = torch.block_diag(*(group.flatten(1) for group in part.weight.detach().chunk(part.groups)))
        part.weight = torch.nn.Parameter(joined.reshape(*joined.shape, *part.kernel_size))
        part.groups = 1


def torch_submodules(module: Any) -> dict[str, Any]:
    """The parts of a module by their paths, without lists of parts, which cannot be called."""
    import torch

    uncallable = torch.nn.Module.forward
    return {path: part for path, part in module.named_modules() if not path or type(part).forward is not uncallable}


def torch_layer(module: Any, name: str) -> Layer:
    """Copy a module in float64 and evaluation mode."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        raise DataError(f"{name}: a module of TorchScript shows no code; pass the module that it was made from.")
    clone = _copy(module)
    _simplify(clone)
    clone.eval()  # what it returns is the module's own affair
    _cast(clone, torch.float64)
    _with_usual_norms(clone)
    _with_hiding_masks(clone)
    learned = _learned(clone)
    parts = dict(clone.named_modules(remove_duplicate=False))

    def write(arrays: Mapping[str, Array]) -> None:
        narrow = any(array.dtype == np.float32 for array in arrays.values())
        if arrays and (next(iter(learned.values())).dtype == torch.float32) != narrow:
            _cast(clone, torch.float32 if narrow else torch.float64)
        with torch.no_grad():
            for key, array in arrays.items():
                if learned[key].shape != array.shape:
                    raise ValueError(f"{key} {tuple(learned[key].shape)} holds no array {array.shape}")
                learned[key].copy_(torch.as_tensor(np.array(array)))
        _make_again(clone)

    parameters = tuple(
        Parameter(key, value.detach().cpu().numpy(), _axes(key, parts), _owner(key, parts), *_steps(key, parts))
        for key, value in learned.items()
    )
    return Layer(
        name,
        parameters,
        write,
        _forward(clone),
        torch_tensor,
        numbers=dict(numbers_of_parts(clone)),
        attributes=dict(_attributes(clone)),
        framework="torch",
        owner="torch.nn.MultiheadAttention" if type(module) is torch.nn.MultiheadAttention else type(module).__name__,
        source=source_of(type(module)),
        documentation="\n".join(dict.fromkeys(map(documentation_of, _classes(module)))),
        package=type(module).__module__.partition(".")[0],
        function=f"{type(module).__name__}.forward",
        switches=tuple(_switches(clone)),
        train=functools.partial(_train, clone),
        state=functools.partial(TorchMemory, clone),
    )


def _switches(module: Any) -> Iterator[tuple[str, bool, Callable[[bool], None]]]:
    """Its flags, and those of its parts that are of the same file, by which it computes the same in other ways."""
    for path, part in module.named_modules():
        if type(part).__module__ == type(module).__module__:
            for key, value in vars(part).items():
                if isinstance(value, bool) and _IMPLEMENTATION.search(key):
                    yield f"{path}.{key}".lstrip("."), value, functools.partial(setattr, part, key)


def _classes(module: Any) -> Iterator[type]:
    """Its class, and those of its parts that are of the same file."""
    yield from (type(part) for part in module.modules() if type(part).__module__ == type(module).__module__)


def _learned(module: Any) -> dict[str, Any]:
    """The parameters by their names; under every name where heads share those of the queries.

    Keys and values that heads share are no mistake, and count once.
    """
    once, each = (dict(module.named_parameters(remove_duplicate=remove)) for remove in (True, False))
    repeated = [role_of(name) for name in each if name not in once]
    named = each if any(role is not None and "q" in role.part for role in repeated) else once
    parts = dict(module.named_modules())
    return {name: p for name, p in named.items() if not _is_fixed(name, p, named) and not is_turned_off(name, parts)}


def _is_fixed(name: str, parameter: Any, named: Mapping[str, Any]) -> bool:
    """Whether a parameter keeps its values: by its name, or as one that does not learn where others do."""
    frozen = not parameter.requires_grad and any(p.requires_grad for p in named.values())
    is_other = frozen and role_of(name) is None and bias_role(name) is None and not names_table(name)
    return is_other or is_formula(name, tuple(parameter.shape))


def _train(module: Any, on: bool) -> None:
    """Turn the training mode on or off, but for norms, which would use other statistics in it."""
    import torch

    for part in module.modules():
        if not isinstance(part, torch.nn.modules.batchnorm._NormBase):
            part.training = on


def _make_again(module: Any) -> None:
    """Let parts make again what they compute of their parameters as they leave the training mode."""
    import torch

    if any(type(part).train is not torch.nn.Module.train for part in module.modules()):
        modes = [(part, part.training) for part in module.modules()]
        module.train()
        module.eval()
        for part, mode in modes:
            part.training = mode


def _copy(module: Any) -> Any:
    """A deep copy; tensors left over from an earlier call, which torch refuses to copy, are cut off first."""
    import torch

    memo = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError) as error:
        name = type(module).__name__
        raise DataError(f"{name}: cannot be copied, as a check needs to leave it unchanged ({error}).") from error


def _cast(module: Any, dtype: Any) -> None:
    """Convert parameters, buffers, and tensors that are plain attributes, and bring them to the processor."""
    import torch

    wide = {False: dtype, True: torch.complex128 if dtype == torch.float64 else torch.complex64}

    def converted(t: Any) -> Any:
        return t.to("cpu", wide[t.is_complex()] if t.is_floating_point() or t.is_complex() else t.dtype)

    module._apply(converted)
    for part in module.modules():
        for key, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                setattr(part, key, converted(value.detach()))


def _with_usual_norms(module: Any) -> None:
    """Let norms add a usual number, and batch norms, which use what they saw in training, change nothing."""
    import torch

    for path, part in module.named_modules():
        if isinstance(part, torch.nn.modules.batchnorm._NormBase) and part.running_mean is not None:
            part.reset_running_stats()
            part.eps = 0.0
        elif is_norm(path) or "norm" in type(part).__name__.lower():
            for key in _EPSILON & vars(part).keys():
                if isinstance(getattr(part, key), float):
                    setattr(part, key, 1e-6)


def _with_hiding_masks(module: Any) -> None:
    """Let masks of regions that are stored as zeros and -100 (Liu et al., 2021) hide keys of large logits too."""
    for buffer in module.buffers():
        if buffer.is_floating_point() and ((buffer == 0) | (buffer == -100)).all():
            buffer[buffer == -100] = -1e9


def _forward(module: Any) -> Callable[..., Any]:
    forward = functools.wraps(type(module).forward)(with_own_cache(in_float64(module), module))
    vars(forward)["__signature__"] = signature_of_method(type(module), "forward")
    return forward


def _part(key: str, parts: dict[str, Any]) -> Any:
    return parts.get(key.rpartition(".")[0])


def _owner(key: str, parts: dict[str, Any]) -> str:
    return type(_part(key, parts)).__name__


def _steps(key: str, parts: dict[str, Any]) -> tuple[int, int]:
    """The stride and the padding of a convolution, where they are those of both axes."""
    part = _part(key, parts)
    stride, padding = getattr(part, "stride", None), getattr(part, "padding", None)
    if not (isinstance(stride, tuple) and isinstance(padding, tuple) and len({*stride}) == len({*padding}) == 1):
        return 1, 0
    return stride[0], padding[0]


def _axes(key: str, parts: dict[str, Any]) -> str:
    part, leaf = _part(key, parts), key.rpartition(".")[2]
    if type(part).__name__ == "Conv1D" and hasattr(part, "nf"):
        return "io"
    if hasattr(part, "in_features") or hasattr(part, "in_channels"):
        return "oi"
    attention = type(part).__name__ == "MultiheadAttention" and leaf.endswith("proj_weight")
    return "oi" if attention or leaf == "in_proj_weight" else ""


def _attributes(module: Any) -> Iterator[tuple[str, Any]]:
    import torch

    for path, buffer in module.named_buffers():
        yield path, buffer.detach().cpu().numpy()
    for path, part in module.named_modules():
        for key, value in vars(part).items() if path else ():
            if isinstance(value, bool) and not key.startswith("_"):
                yield f"{path}.{key}", value
    inner = [part for part in module.modules() if type(part) is torch.nn.MultiheadAttention and part is not module]
    if len(inner) == 1:
        yield "inner_batch_first", inner[0].batch_first
    for config in configurations(module):
        yield from ((f"config.{key}", value) for key, value in config.items() if isinstance(value, int | float))
    for key, value in vars(module).items():
        sides = isinstance(value, tuple) and all(isinstance(side, int) for side in value)
        if (sides or isinstance(value, bool | float | str)) and not key.startswith("_"):
            yield key, value
        elif isinstance(value, torch.Tensor):
            yield key, value.detach().cpu().numpy()
