"""From an object to what the checker probes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from headwise.checker.modules.adapters import adapter_skeleton
from headwise.checker.modules.argument_forms import with_mask_arrays, with_separate_entries
from headwise.checker.modules.call import Call, CallError
from headwise.checker.modules.calls import takes_any_count, working_calls
from headwise.checker.modules.construct import construct, parse_arguments
from headwise.checker.modules.describe import documented, target_of, without_weights
from headwise.checker.modules.extras import fill_tables, make_neutral
from headwise.checker.modules.frameworks import framework_of, with_weights
from headwise.checker.modules.functions import object_of
from headwise.checker.modules.gates import views_with_gate
from headwise.checker.modules.inside import attention_sites, enclosing_parts
from headwise.checker.modules.latent import with_latents
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.lazy_layers import with_inferred_widths
from headwise.checker.modules.matrices import collect_parts, names_table
from headwise.checker.modules.projections import Reading, readings
from headwise.checker.modules.reduction import convolutions_of_features
from headwise.checker.modules.required_arguments import with_needed_options
from headwise.checker.modules.scores import kinds_of_scores, refuse_sums, score_targets
from headwise.checker.modules.select import mixes_tokens, select, uses_values, with_tables
from headwise.checker.modules.stored_widths import with_width_of_queries
from headwise.checker.modules.streams import views_with_one_source
from headwise.checker.modules.torch_modules import unwrapped
from headwise.checker.target import Target
from headwise.errors import DataError

_UNNAMED = 4  # matrices whose names say nothing: queries, keys, values and the output


def find_targets(
    value: Any,
    *,
    init: str | Mapping[str, Any] | None = None,
    inside: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> list[Target]:
    """Return the readings of a module's parameters, to be judged in this order.

    `value`: a torch module, an object with arrays among its attributes, one of their methods, their class, or a
    function whose matrices are variables of its file.
    `init`: the arguments of a class, as ``"d_model=12, n_heads=3"`` or by name; inferred from their names by default.
    `inside`: the path of the attention in a larger module, such as ``"layers.0.attn"``.
    `sizes`: those with which to make a class; the usual ones by default.
    Raises DataError if `value` is none of these, its class cannot be made, it holds no attention or several, or it
    cannot be called.
    """
    method = value.__name__ if inspect.ismethod(value) else None
    value = value.__self__ if inspect.ismethod(value) else object_of(value) if inspect.isfunction(value) else value
    arguments = parse_arguments(init)
    errors: list[DataError] = []
    instances: list[Any] = []
    for instance in construct(value, arguments, sizes) if inspect.isclass(value) else [value]:
        instances.append(instance := unwrapped(instance))
        try:
            return _targets(with_weights(with_inferred_widths(instance)), inside, method, narrow=False)
        except DataError as error:
            errors.append(error)
    for instance, refusal in zip(instances, errors, strict=True):
        if isinstance(refusal, _NarrowError):
            return _targets(with_weights(with_inferred_widths(instance)), inside, method, narrow=True)
    raise errors[0]


class _NarrowError(DataError):
    """Sizes that show less: heads of width one, whose scale is one, right or not, or many tokens."""


def _is_narrow(call: Call, readings: list[Reading]) -> bool:
    sizes = readings[0].sizes
    return sizes.width < 2 or (call.count > sizes.model and not takes_any_count(call, sizes))


def _targets(instance: Any, inside: str | None, method: str | None, narrow: bool) -> list[Target]:
    """Of the largest part around the attention that does nothing else, or of the attention itself."""
    errors: list[DataError] = []
    paths = _sites(instance, inside)
    for path in paths:
        try:
            targets, explained = _targets_at(instance, path, method, narrow)
        except _NarrowError:
            raise
        except DataError as error:
            if path == (inside or "") != paths[-1]:
                raise DataError(f"{error}\nTo check only its attention: inside={paths[-1]!r}.") from None
            errors.append(error)
            continue
        if explained or path in (inside or "", paths[-1]):
            return targets
    raise errors[-1]


def _targets_at(instance: Any, path: str, method: str | None, narrow: bool) -> tuple[list[Target], bool]:
    name = type(instance).__name__
    framework = framework_of(instance)
    part = framework.parts(instance)[path]
    title = f"{name}.{path}" if path else name
    layer = with_mask_arrays(with_separate_entries(framework.layer(part, title, None if path else method)))
    if (function := getattr(type(part), "__wrapped__", None)) is not None:  # the object of a function
        layer = replace(layer, function=function.__name__)
    learned = [p.name for p in layer.parameters] or framework.names(part)
    if not learned:
        own_method = None if path else method
        return [
            without_weights(
                with_width_of_queries(
                    layer, part, lambda other: with_mask_arrays(framework.layer(other, title, own_method))
                )
            )
        ], True
    if targets := score_targets(layer):
        return targets, True
    refuse_sums(layer)
    layer = with_latents(layer) or layer
    if not collect_parts(layer.parameters).complete:
        raise _no_projections(title, learned, kinds_of_scores(layer))
    explained, unexplained = _of_views(views_with_one_source(layer), narrow)
    if not explained and not unexplained:
        explained, _ = _of_views(views_with_gate(layer), narrow)
    if explained or unexplained:
        return explained or unexplained, bool(explained)
    return _targets_of(layer, narrow)


def _of_views(views: Iterable[Layer], narrow: bool) -> tuple[list[Target], list[Target]]:
    """The targets of the first view of a layer that explains its output; if none does, those of the first."""
    first: list[Target] = []
    for view in views:
        try:
            targets, explained = _targets_of(view, narrow)
        except _NarrowError:
            raise
        except DataError:
            continue
        if explained:
            return targets, []
        first = first or targets
    return [], first


def _targets_of(layer: Layer, narrow: bool) -> tuple[list[Target], bool]:
    title, options = layer.name, readings(layer)
    if not options:
        adapter = adapter_skeleton(layer)
        weights = collect_parts(layer.parameters).weights
        of = {x: p.shape[-1] for x in "kv" if x in weights and (p := weights[x].stored[0]).axes == "oi"}
        if len({*of.values()}) > 1:
            raise DataError(
                f"{title}: keys and values have to be made from tokens of one width, to be checked; its keys are made"
                f" from tokens of width {of['k']} and its values from those of width {of['v']}."
            )
        raise DataError(f"{title}: the shapes of its projections do not fit together: {_listed(layer)}.{adapter}")
    make_neutral(layer, options[0].sizes.heads)
    calls = _calls(layer, options)
    if (
        (kernels := convolutions_of_features(layer))
        and kernels != layer.passing
        and not uses_values(calls[0], options[0])
    ):
        return _targets_of(replace(layer, passing=kernels), narrow)
    layer = calls[0].layer
    if collect_parts(layer.parameters).guessed and not mixes_tokens(calls[0], options[0]):
        raise DataError(f"{title}: is no attention: what it gives for a token depends on no other token.")
    if not narrow and _is_narrow(calls[0], options):
        raise _NarrowError(f"{title}: its heads are too narrow, or its tokens too many, to tell mistakes apart.")
    matches, explained = select(calls, documented(layer, options))
    if not matches:
        raise DataError(
            f"{title}: with other weights in its projections ({_listed(layer)}) it gives no output for tokens: they are"
            " not those to queries, keys and values of attention."
        )
    arrays = fill_tables(layer)
    return [target_of(with_tables(match, arrays), arrays) for match in matches], explained


def _calls(layer: Layer, options: list[Reading]) -> list[Call]:
    """The ways of calling a layer; with optional arguments where there is none without."""
    errors: list[CallError] = []
    for one in (layer, *with_needed_options(layer)):
        try:
            return working_calls(one, dict.fromkeys(reading.sizes for reading in options))
        except CallError as error:
            errors.append(error)
    tokens = f"(B, N, {options[0].sizes.model})"
    raise DataError(f"{layer.name}: cannot be called with tokens {tokens}: {errors[0]}.{adapter_skeleton(layer)}")


def _sites(instance: Any, inside: str | None) -> list[str]:
    """The path of the attention to check, after those of the parts around it that learn nothing else."""
    name, framework = type(instance).__name__, framework_of(instance)
    names, parts = framework.names(instance), framework.parts(instance)
    sites = attention_sites(names, parts)
    if inside is not None:
        if inside not in parts:
            near = ", ".join(site for site in sites if site) or "none that holds attention"
            raise DataError(f"inside: {name} has no part {inside!r}; expected one of {near}.")
        sites = [site for site in sites if site == inside or site.startswith(f"{inside}.")]
    if len(sites) > 1:
        listed = ", ".join(site for site in sites if site)
        own = " next to projections of its own" if "" in sites else ""
        raise DataError(f"{name}: expected one attention; it holds {listed}{own}. Choose one with inside=.")
    if not sites and not names:
        return [inside or ""]
    if (
        not sites
        and len([one for one in names if not names_table(one) and not one.endswith(("bias", ".b"))]) <= _UNNAMED
    ):
        return [inside or ""]
    if not sites:
        raise _no_projections(name, names)
    return [path for path in enclosing_parts(sites[0], names, parts) if path.startswith(inside or "")]


def _no_projections(name: str, parameters: list[str], more: str = "") -> DataError:
    listed = ", ".join(parameters) or "it has none"
    return DataError(f"{name}: no projections to queries, keys and values among its parameters: {listed}.{more}")


def _listed(layer: Layer) -> str:
    return ", ".join(f"{p.name} {p.shape}" for p in layer.parameters)
