"""Which module is running: names kept on a stack by global hooks, without a change to any module."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any, TypeGuard

from torch.nn import Module
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

_HEADS = (
    "num_heads",
    "num_attention_heads",
    "n_heads",
    "n_head",
    "nhead",
    "heads",
    "num_head",
    "nheads",
    "n_local_heads",
)
_CONFIG = ("config", "cfg", "args")
# other names of a number of heads: one of these, or any with "head" in it but no word for another quantity
_HEAD_COUNT = re.compile(
    r"h|n_?h|(?!.*(dim|size|width|channel|feature|per|kv|key|value|group|mask|index|drop)).*heads?.*", re.I
)


class ModuleStack:
    """The modules whose forward is running, innermost last.

    `root`: where names begin; the outermost module that runs by default.
    """

    def __init__(self, root: Module | None) -> None:
        self._stack: list[Module] = []
        self._names: dict[int, str] = {}
        if root is not None:
            self._name(root)

    def __enter__(self) -> ModuleStack:
        self._hooks = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def name(self) -> str:
        """Name of the innermost module; the outermost one's is its class's."""
        for module in reversed(self._stack):
            if self._names.get(id(module)):
                return self._names[id(module)]
        return type(self._stack[0]).__name__ if self._stack else "function"

    @property
    def training(self) -> bool:
        """Whether the innermost module is in training mode."""
        return bool(self._stack) and self._stack[-1].training

    @property
    def heads(self) -> int | None:
        """How many heads the innermost module that says so has."""
        innermost = self._stack[:-4:-1]
        for module in innermost:
            for holder in (module, *(getattr(module, name, None) for name in _CONFIG)):
                for name in _HEADS:
                    if _is_count(number := getattr(holder, name, None)):
                        return number
        for module in innermost:
            numbers = {
                value for name, value in vars(module).items() if _is_count(value) and _HEAD_COUNT.fullmatch(name)
            }
            if len(numbers) == 1:
                return numbers.pop()
        return None

    def _enter(self, module: Module, _: Any) -> None:
        if not self._stack and id(module) not in self._names:
            self._name(module)
        self._stack.append(module)

    def _leave(self, module: Module, *_: Any) -> None:
        if self._stack and self._stack[-1] is module:
            self._stack.pop()

    def _name(self, root: Module) -> None:
        self._names |= {id(module): name.replace("_orig_mod.", "") for name, module in root.named_modules()}


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def owner_of(model: Any) -> Module | None:
    """The module that a callable belongs to: itself, or that of a bound method such as ``model.generate``."""
    owner = model if isinstance(model, Module) else getattr(model, "__self__", None)
    return owner if isinstance(owner, Module) else None
