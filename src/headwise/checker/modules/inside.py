"""Attention inside a larger model: the paths of the parts that hold projections to queries, keys and values."""

from __future__ import annotations

from collections.abc import Iterable

from headwise.checker.modules.names import is_norm, latent_part, role_of


def attention_sites(parameters: Iterable[str], parts: Iterable[str]) -> list[str]:
    """Return the paths of the parts of a model that are attention, in the order of their parameters.

    `parameters`: the names of all parameters.
    `parts`: the paths of all parts that can be called by themselves; the model itself is the empty path.
    """
    names = list(parameters)
    callable_parts = sorted(parts, key=len, reverse=True)
    sites: dict[str, None] = {}
    for name in names:
        role = role_of(name)
        if role is None or "q" not in role.part or role.part == "list":
            continue
        sites[_home(name, names, callable_parts)] = None
    if not sites:
        lists = [role.group.rpartition(".*")[0] for role in map(role_of, names) if role and role.part == "list"]
        for group in dict.fromkeys(lists):
            if lists.count(group) >= 3:
                sites[_enclosing(group.rpartition(".")[0], callable_parts)] = None
    sites = dict.fromkeys(site for site in sites if not _only_encloses(site, sites, names))
    return _without_heads(list(sites), names) or _latent_sites(names, set(callable_parts))


def _latent_sites(names: list[str], parts: set[str]) -> list[str]:
    """The paths of the parts that make keys and values from a latent vector."""
    kinds_at: dict[str, set[str]] = {}
    for name in names:
        kinds_at.setdefault(name.removesuffix(".weight").rpartition(".")[0], set()).add(latent_part(name))
    return [path for path, kinds in kinds_at.items() if path in parts and {"down_kv", "o"} <= kinds]


def enclosing_parts(site: str, parameters: Iterable[str], parts: Iterable[str]) -> list[str]:
    """The parts around an attention that learn nothing but norms besides, and the output projection that it lacks.

    The largest comes first, the attention itself last.
    """
    names, all_parts = list(parameters), set(parts)
    enclosing, path = [site], site
    while path:
        path = path.rpartition(".")[0]
        around = [n for n in names if _under(n, path) and not _under(n, site) and not is_norm(n)]
        direct = [n for n in around if "." not in n.removeprefix(f"{path}.") and _role(n, path) in ("", "q")]
        others = {_without_leaf(n) for n in around if direct != [n]}  # one array may be learned queries
        allowed = 0 if _has_output(site, names) else 1
        if len(others) > allowed or not all(map(_is_output, others)):
            break
        if path in all_parts:
            enclosing.append(path)
    return enclosing[::-1]


def _without_leaf(name: str) -> str:
    return name.rpartition(".")[0] or name


def _is_output(name: str) -> bool:
    role = role_of(name)
    return role is not None and role.part in ("o", "o?")


def _home(name: str, names: list[str], parts: list[str]) -> str:
    """The smallest part around a projection of queries that has keys and values too."""
    path = name
    while path:
        path = path.rpartition(".")[0]
        roles = [_role(n, path) for n in names if _under(n, path)]
        if path in parts and set("qkv") <= set("".join(part for part in roles if part)):
            return path
    return ""


def _role(name: str, path: str) -> str:
    role = role_of(name[len(path) + 1 :] if path else name)
    return "" if role is None or role.part in ("list", "o", "o?") else role.part


def _under(name: str, path: str) -> bool:
    return not path or name.startswith(f"{path}.")


def _only_encloses(site: str, sites: Iterable[str], names: list[str]) -> bool:
    """Whether the keys and values of a part are those of another, to which its own queries are given."""
    inner = [other for other in sites if other != site and _under(other, site)]
    own = [name for name in names if _under(name, site) and not any(_under(name, other) for other in inner)]
    return bool(inner) and not set("kv") & set("".join(_role(name, site) for name in own))


def _enclosing(path: str, parts: list[str]) -> str:
    while path and path not in parts:
        path = path.rpartition(".")[0]
    return path


def _without_heads(sites: list[str], names: list[str]) -> list[str]:
    """Numbered parts without an output projection of their own are the heads of the part around them."""
    unique: dict[str, None] = {}
    for site in sites:
        group, _, number = site.rpartition(".")
        around, _, listed = group.rpartition(".")
        siblings = [other for other in sites if other.rpartition(".")[0] == group]
        alone = len(siblings) == 1 and "head" not in listed
        unique[site if not number.isdigit() or alone or _has_output(site, names) else around] = None
    return list(unique)


def _has_output(site: str, names: list[str]) -> bool:
    roles = (role_of(name[len(site) + 1 :]) for name in names if _under(name, site))
    return any(role is not None and role.part in ("o", "o?") for role in roles)
