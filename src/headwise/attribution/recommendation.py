"""Which map to show for a model: the one that an audit of this model recommends, or the one that did best elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from headwise.attribution.maps import MAPS, available_maps
from headwise.errors import DataError
from headwise.hashing import fingerprint
from headwise.models.base import Model

DEFAULTS = ("AttnLRP", "Chefer", "leave-one-out", "all layers")  # the first that is available, without an audit
_FILE = "result.json"


@dataclass(frozen=True)
class Recommendation:
    """A map, and how sure it is that it is the best for this model.

    Attributes
    ----------
    map : str
        A key of `headwise.attribution.MAPS`.
    confidence : float or None
        Share of bootstrap resamples of the audited inputs in which this map is the best; None without an audit.
    gain : (float, float, float) or None
        By how much its insertion area exceeds its deletion area, more than for the input baseline: mean over inputs and
        ways to be missing, and its 95% bootstrap interval.
    p : float or None
        Of the paired sign-flip test of that gain.
    inputs : int
        How many were audited.
    data : str
        Their name.
    model : str
        Fingerprint of the audited weights.
    """

    map: str
    confidence: float | None = None
    gain: tuple[float, float, float] | None = None
    p: float | None = None
    inputs: int = 0
    data: str = ""
    model: str = ""

    @property
    def audited(self) -> bool:
        """Whether it comes from an audit of this model."""
        return self.confidence is not None


def recommended_map(model: Model, audit: Path | str | None = None) -> Recommendation:
    """The map to show for a model.

    Parameters
    ----------
    model : Model
    audit : path, optional
        Folder of ``headwise study faithfulness`` for this model, or its result.json. By default the audits that come
        with the package are searched, which know the shipped models; for any other model it is the first of `DEFAULTS`
        that is available.

    Raises
    ------
    DataError
        If there is no audit, it is of another model, or the model lacks what its map is computed from.

    Examples
    --------
    >>> from headwise.models.adapters import ViT
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> recommendation = recommended_map(ViT(pretrained_vit().config, pretrained_vit().params))
    >>> recommendation.map, recommendation.audited
    ('AttnLRP', True)
    """
    weights = model_fingerprint(model)
    if audit is not None:
        recommendation = _read(Path(audit))
        if recommendation.model != weights:
            raise DataError(f"audit: {audit} is of a model with other weights; run the study on this model.")
        if recommendation.map not in available_maps(model):
            raise DataError(f"audit: {audit} recommends {recommendation.map}, which this model does not allow.")
        return recommendation
    shipped = json.loads((files("headwise.attribution") / "recommendations.json").read_text(encoding="utf-8"))
    for content in shipped:
        if content["model"] == weights:
            return _from_json(content)
    possible = available_maps(model)
    return Recommendation(next(name for name in DEFAULTS if name in possible))


def model_fingerprint(model: Any) -> str:
    """Digest of the model's parameters; empty if they are not known."""
    digest = getattr(model, "weights_digest", None)
    if digest is not None:
        return str(digest())
    params = getattr(model, "params", None)
    return fingerprint(*(params[name] for name in sorted(params))) if isinstance(params, dict) else ""


def _read(path: Path) -> Recommendation:
    file = path / _FILE if path.is_dir() else path
    try:
        return _from_json(json.loads(file.read_text(encoding="utf-8"))["recommendation"])
    except OSError:
        raise DataError(f"audit: {file}: no such file; expected a result of `headwise study faithfulness`.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DataError(f"audit: {file} is no result of `headwise study faithfulness`.") from None


def _from_json(content: Mapping[str, Any]) -> Recommendation:
    gain = content["gain"]
    recommendation = Recommendation(**{**content, "gain": None if gain is None else tuple(gain)})
    if recommendation.map not in MAPS:
        raise KeyError(recommendation.map)
    return recommendation
