"""The captions' face: a caption, and the one that belongs to the picture of the class token."""

from __future__ import annotations

from headwise.figures.captions.caption import Caption
from headwise.figures.captions.maps import maps_caption as caption
from headwise.figures.captions.maps import maps_facts as measure

__all__ = ["Caption", "caption", "measure"]
