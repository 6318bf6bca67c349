"""Layers that keep keys and values between calls by themselves, and have a method that forgets them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

_RESET = re.compile(
    r"_?(reset|clear|empty|flush)(_?(kv|key_?values?|attn|attention|own|internal))?_?(cache|state|past)s?"
)
_RESET_ALONE = re.compile(r"reset|clear|forget")
_KEPT = re.compile(r"_?(kv|k|v|key|value|keys|values|past|prev)?_?(cache|past|keys|values)\w*")  # attributes
_FLAG = re.compile(r"_?(use|enable|with|is)?_?(kv_?)?(cach(e|ing)|cache_enabled)")  # attributes that turn it on
OWN_CACHE = "own_cache"  # the attribute of a call that holds how to forget


class OwnCache:
    """The cache of an object, which is empty at the beginning of each call but for those that go on with it."""

    def __init__(self, owner: Any, forget: Callable[[], Any]) -> None:
        self._owner, self._forget, self._goes_on = owner, forget, False

    def begin_call(self) -> None:
        """Forget what earlier calls have left, unless this call goes on with it."""
        if not self._goes_on:
            self._forget()

    @contextlib.contextmanager
    def goes_on(self) -> Iterator[None]:
        """Let the calls within go on with what is kept."""
        self._goes_on = True
        try:
            yield
        finally:
            self._goes_on = False

    @contextlib.contextmanager
    def turned_on(self) -> Iterator[None]:
        """Let the calls within keep keys and values, where a flag among the attributes says whether they do."""
        flags = [name for name, value in vars(self._owner).items() if value is False and _FLAG.fullmatch(name)]
        vars(self._owner).update(dict.fromkeys(flags, True))
        try:
            yield
        finally:
            vars(self._owner).update(dict.fromkeys(flags, False))


def with_own_cache(call: Callable[..., Any], owner: Any) -> Callable[..., Any]:
    """The call of an object, with an empty cache if it has one of its own, and a method that empties it."""
    forget = next((getattr(owner, name) for name in dir(type(owner)) if _forgets(owner, name)), None)
    if forget is None:
        return call
    cache = OwnCache(owner, forget)

    @functools.wraps(call)
    def beginning(*args: Any, **kwargs: Any) -> Any:
        cache.begin_call()
        return call(*args, **kwargs)

    vars(beginning)[OWN_CACHE] = cache
    return beginning


def _forgets(owner: Any, name: str) -> bool:
    """Whether a method without arguments empties a cache, by its name; `reset` alone where an attribute is a cache."""
    keeps = any(map(_KEPT.fullmatch, [*vars(owner), *vars(owner).get("_buffers", ())]))
    if not (_RESET.fullmatch(name) or (_RESET_ALONE.fullmatch(name) and keeps)):
        return False
    method = inspect.getattr_static(type(owner), name)
    if not inspect.isfunction(method):
        return False
    required = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty and p.kind < 2]
    return len(required) == 1
