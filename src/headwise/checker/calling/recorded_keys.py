"""The keys under which a function looks up its matrices, learned from a call where its code makes the keys."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from headwise.checker.arguments.containers import Path, matrices_in, role_at
from headwise.checker.arguments.groups import is_required
from headwise.checker.arguments.parts import is_complete
from headwise.checker.arguments.roles import FUSED, role_of
from headwise.checker.arguments.settings import CONFIG, Settings
from headwise.checker.arguments.signature_roles import role_in_signature
from headwise.checker.user_code.execution import quiet_user_code
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_HEADS, _WIDTH = 3, 12
_SIZES = {"model": _WIDTH, "heads": _HEADS, "key_heads": _HEADS, "width": _WIDTH // _HEADS}
_MATRICES = ("Wq", "Wk", "Wv", "Wo", "Wqkv", "Wkv")
_LAYER = re.compile(r"i|l|idx|(layer|block)(_?(i|id|idx|index|num|number))?")
_SHAPES = ((5, _WIDTH), (2, 5, _WIDTH))


def learn_keys(
    function: Callable[..., Any],
    parameters: list[inspect.Parameter] | None,
    code: str,
    converters: Iterable[Callable[[Array], Any]],
) -> tuple[dict[str, dict[str, Path]], dict[str, Any]]:
    """Return where each matrix is in the argument that holds them, and arguments that have to be passed as they are.

    Nothing where the keys are in the code, or nothing can be learned from calls. The `converters` make the arrays that
    the function may take.
    """
    required = [p for p in parameters or [] if is_required(p)]
    for p in required:
        looked_up = re.search(rf"\b{re.escape(p.name)}(\[(?![\d:]|None|\.\.\.)|\.get\()", code)
        if not looked_up or role_of(p.name) not in (None, "params") or is_complete(matrices_in(p.name, code)):
            continue
        others = [other for other in required if other is not p]
        layers = {other.name: 0 for other in others if _LAYER.fullmatch(other.name.lower())}
        for convert, shape, turned, nested in product(converters, _SHAPES, (False, True), (False, True)):
            arguments = _arguments([other for other in others if other.name not in layers], shape, code)
            if arguments is None:
                continue
            record = _Record(_matrices(turned), convert, nested)
            passed = {name: convert(a) if isinstance(a, np.ndarray) else a for name, a in arguments.items()}
            with contextlib.suppress(Exception), quiet_user_code():
                function(**{p.name: record}, **passed, **layers)
            if is_complete(record.paths):
                return {p.name: record.paths}, layers
    return {}, {}


def _arguments(required: list[inspect.Parameter], shape: tuple[int, ...], code: str) -> dict[str, Any] | None:
    """Tokens, a number of heads and a configuration; None if there is something else."""
    arguments: dict[str, Any] = {}
    for p in required:
        role = role_in_signature(p, required, code)
        if role in ("heads", "key_heads"):
            arguments[p.name] = _HEADS
        elif CONFIG.fullmatch(p.name.lower()):
            arguments[p.name] = Settings(_SIZES)
        elif role in ("X", "context", "q", "k", "v") or (role is None and len(required) < 3):
            arguments[p.name] = np.ones(shape)
        else:
            return None
    return arguments


def _matrices(turned: bool) -> dict[str, Array]:
    """A matrix and a bias of each sort; those of several projections in one as (in, out), or else `turned`."""
    square: Array = np.eye(_WIDTH)
    matrices = {name: np.tile(square, (1, len(FUSED.get(name, "1")))) for name in _MATRICES}
    biases = {f"b{name[1:]}": np.zeros(a.shape[1]) for name, a in matrices.items()}
    return {name: a.T if turned else a for name, a in matrices.items()} | biases


class _Record(dict[Any, Any]):
    """A dictionary that has whatever is looked up, and that records where each matrix was looked up."""

    def __init__(
        self,
        matrices: Mapping[str, Array],
        convert: Callable[[Array], Any],
        nested: bool,
        path: Path = (),
        paths: dict[str, Path] | None = None,
    ) -> None:
        super().__init__()
        self._matrices, self._convert, self._nested, self._path = matrices, convert, nested, path
        self.paths: dict[str, Path] = {} if paths is None else paths

    def __missing__(self, key: Any) -> Any:
        path = (*self._path, key)
        role = role_at(path) or ""
        inner = re.split(r"[./]", str(key))[-1].lower()
        if role not in self._matrices or (self._nested and inner not in ("weight", "w", "kernel", "bias", "b")):
            return _Record(self._matrices, self._convert, self._nested, path, self.paths)
        self.paths.setdefault(role, path)
        return self._convert(self._matrices[role])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __contains__(self, key: object) -> bool:
        return True

    def get(self, key: Any, default: Any = None) -> Any:
        """What is looked up."""
        return self[key]

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("its keys are not known")
