"""The roles of heads as facts and sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.measurements import Facts, list_heads
from headwise.figures.record import AttentionRecord
from headwise.text import capitalize_first, join_with_and

_IN_SHORT = 4  # roles that a short caption names
_MAX_NAMES = 24  # letters of the names of heads in a short caption


def measure_role_facts(record: AttentionRecord) -> Facts:
    """How many heads have each role, which, and what the sinks are."""
    roles = record.roles
    facts = list_heads("roled", roles.above_chance)
    for index, name in enumerate(roles.names):
        facts |= list_heads(f"role_{name}", roles.main == index)
    facts["role_names"] = [name for name in roles.names if facts[f"role_{name}_heads"]]
    if (sinks := roles.has[roles.names.index("sink")]).any():
        keys, counts = np.unique(roles.sinks[sinks], return_counts=True)
        key = int(keys[counts.argmax()])
        heads = sinks & (roles.sinks == key)
        facts |= list_heads("sink", sinks) | {
            "sink_token": _key_name(record, key),
            "sink_token_heads": int(counts.max()),
        }
        facts["sink_weight"] = float(roles.scores[roles.names.index("sink")][heads].mean())
        if record.value_norms.size:
            norms = record.value_norms[heads].astype(np.float64)
            facts["sink_norm"] = float((norms[:, key] / np.maximum(np.median(norms, axis=1), 1e-30)).mean())
    return facts


def role_counts(facts: Facts) -> list[str]:
    """The roles that heads have, the most frequent first; uniform heads last."""
    names: list[str] = facts["role_names"]
    return sorted(names, key=lambda name: (name == "uniform", -facts[f"role_{name}_heads"]))


def describe_roles(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    """Which heads have which role beyond chance, and what sinks are."""
    yield _count(facts) + (
        " beyond chance (a score of at least {role}, {role_ratio:.0f} times its chance level, and significant after "
        "correction for all heads and roles)."
    )
    for name in role_counts(facts):
        separator = ", " if facts[f"role_{name}_names"].startswith("mostly") else ": "
        plural = f"{{role_{name}_heads}} heads{separator}" if facts[f"role_{name}_heads"] > 1 else ""
        yield f"{capitalize_first(record.role_name(name))}: {plural}{{role_{name}_names}}."
    if "sink_token" in facts:
        heads = "head is a sink" if facts["sink_heads"] == 1 else "heads are sinks"
        sentence = (
            f"{{sink_heads}} {heads}, most often on {{sink_token}}, which receives {{sink_weight:.0%}} of the weight"
        )
        if "sink_norm" in facts:
            sentence += "; its value vector has {sink_norm:.2f} times the median length"
        yield sentence + "."


def summarize_roles(record: AttentionRecord, facts: Facts) -> str:
    """The most frequent roles in one sentence, for a short caption."""
    names = [name for name in role_counts(facts) if name != "uniform"]
    if not names:
        return _count(facts) + " beyond chance."
    parts = []
    for name in names[:_IN_SHORT]:
        parts.append(f"{record.role_name(name)} ({_members(name, facts)})")
    if len(names) > _IN_SHORT:
        parts.append("others")
    return f"{_count(facts)} beyond chance: {join_with_and(parts)}."


def _members(name: str, facts: Facts) -> str:
    """The one head, or how many heads and where, if that is short."""
    count, names = facts[f"role_{name}_heads"], facts[f"role_{name}_names"]
    if count == 1:
        return f"{{role_{name}_names}}"
    return f"{{role_{name}_heads}} heads" + (f", {{role_{name}_names}}" if len(names) <= _MAX_NAMES else "")


def _count(facts: Facts) -> str:
    if facts["all_heads"] == 1:
        return "The head has a role" if facts["roled_heads"] else "The head has no role"
    if facts["roled_heads"] in (0, facts["all_heads"]):
        return "No head has a role" if not facts["roled_heads"] else "All {all_heads} heads have a role"
    return f"Of {{all_heads}} heads, {{roled_heads}} {'has' if facts['roled_heads'] == 1 else 'have'} a role"


def _key_name(record: AttentionRecord, key: int) -> str:
    if record.is_prefix[key] and not record.words:
        return "the class token" if record.has_class_token and key == 0 else "a prefix token"
    if record.words and record.kind != "image":
        return f"“{record.words[key].strip()}”"
    if record.is_prefix[key]:
        return "the class token" if key == 0 and record.has_class_token else record.words[key]
    return f"token {record.word(key) if not record.words else int(np.searchsorted(record.content, key)) + 1}"
