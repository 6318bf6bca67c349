"""The captions' face: a caption, and the one that belongs to the picture of the class token."""

from __future__ import annotations

from headwise.picture.captions.maps import maps_caption as caption
from headwise.picture.captions.maps import maps_facts as measure
from headwise.picture.captions.written import Caption

__all__ = ["Caption", "caption", "measure"]
