"""Images to pixel_values: resize, crop, rescale and normalise, with Pillow.

Options come from preprocessor_config.json (transformers), pretrained_cfg (timm), or a checkpoint of this package.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from headwise.errors import CheckpointError, DataError, require_extra
from headwise.files import check_file
from headwise.models.files import Checkpoint
from headwise.models.files.safetensors_files import read_json
from headwise.shapes import Array

# mean and standard deviation of the colours, by which models are trained
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
RESAMPLING = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
_HARMLESS = {"crop_size", "data_format", "default_to_square", "device", "disable_grouping", "do_center_crop",
             "do_convert_rgb", "do_normalize", "do_rescale", "do_resize", "feature_extractor_type", "image_mean",
             "image_processor_type", "image_std", "input_data_format", "processor_class", "resample", "rescale_factor",
             "return_tensors", "size", "size_divisor"}  # fmt: skip

_HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")  # brands of photographs from phones


def open_image(image: Any) -> Any:
    """A PIL image of 8 bits a channel as viewers show it: upright, grey or RGB, with its transparent parts on white.

    `image`: a path, a PIL image, or an array of uint8 (Y, X) or (Y, X, 1, 3 or 4).
    Raises DataError if it is none of these, cannot be read, or has no defined black and white.
    """
    with require_extra("reading images", "pillow", "lab"):
        from PIL import Image
    if isinstance(image, str | Path):
        name = str(image)
        if re.search(r"\s", name) and not re.search(r"\.\w{2,5}$", name) and not os.path.exists(name):
            raise DataError(f"image: expected an image file; got a text, {shorten(name, 60)!r}.")
        return _open_file(Path(image))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
            raise DataError(
                f"image: expected uint8 of shape (Y, X) or (Y, X, 3); got {image.dtype} of shape {image.shape}. Arrays "
                "that are normalised already are passed to the model as pixel_values."
            )
        image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    if not isinstance(image, Image.Image):
        raise DataError(f"image: expected a path, an image or an array of uint8; got {type(image).__name__}.")
    try:
        return _as_seen(image, "image")
    except OSError as error:  # Pillow decodes a file only now
        raise DataError(f"image: cannot be decoded ({error}).") from None


def _open_file(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    check_file(path)
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(path) as opened,
        ):
            return _as_seen(opened, str(path))
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(f"{path}: expected at most {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller.") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that can be read ({_content(path)}).") from None
    except Exception as error:  # decoders raise all kinds of errors for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not an image that can be read ({reason}).") from None


def _content(path: Path) -> str:
    """What a file contains that Pillow does not read as an image."""
    with path.open("rb") as file:
        head = file.read(1000)
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return "it is HEIC, for which Pillow has no decoder; save the photograph as JPEG"
    if head.startswith(b"%PDF-") or b"<svg" in head:
        return "it is a drawing, PDF or SVG; save it as PNG"
    if min(head) > 8:  # which control characters of text are
        return "it is text"
    return "its format is unknown, or it is damaged"


def _as_seen(image: Any, name: str) -> Any:
    from PIL import Image, ImageOps

    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if not deep and image.mode in ("I", "F"):
        raise DataError(
            f"{name}: expected pixels of 8 or 16 bits; got numbers of mode {image.mode!r}, which do not say what is "
            "black and what white. Scale them, and save them as PNG."
        )
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # unreadable EXIF data is ignored; unreadable pixels raise an error when they are decoded
        image.load()
    if deep:  # Pillow would clip values of more than 8 bits at 255
        return Image.fromarray((np.asarray(image, np.float32) / 257).round().astype(np.uint8))
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode in ("LA", "La", "P", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class ImagePreprocessor:
    """How an image becomes pixel_values."""

    shortest: int | None = None  # resize so that the shorter side has this many pixels
    size: tuple[int, int] | None = None  # or resize to this height and width
    crop: tuple[int, int] | None = None  # then cut this height and width from the middle
    resample: int = 2  # Pillow's number of the filter
    rescale: float = 1 / 255  # factor of the pixels; 0 leaves them as they are
    # subtracted from each channel, and divided by; empty for none
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: int = 3  # 1 for grey, 3 for RGB

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, channels: int) -> ImagePreprocessor:
        """The options of a folder or file.

        Raises CheckpointError if it has none, or unknown ones.
        """
        config = checkpoint.config
        if "architecture" in config:
            return from_timm(config, channels)
        if config.get("model_type") == "headwise_vit":
            return cls(size=tuple(config["image_size"]), mean=(config["mean"],), std=(config["std"],), channels=1)
        path = checkpoint.path / "preprocessor_config.json"
        if not path.is_file():
            raise CheckpointError(
                f"{checkpoint.path}: it has no preprocessor_config.json. Call the model with pixel_values of your own."
            )
        return from_options(path, read_json(path), channels)

    def __call__(self, images: Any) -> dict[str, Array]:
        """Preprocess one image or several of one size.

        `images` (Y, X) or (Y, X, 3).
        Returns ``pixel_values`` (B, C, Y, X).
        """
        several = images if isinstance(images, list | tuple) else [images]
        arrays = [self._one(image) for image in several]
        if len({array.shape for array in arrays}) > 1:
            sizes = ", ".join(str(array.shape[1:]) for array in arrays)
            raise DataError(f"images: expected one size after preprocessing; got {sizes}. Pass them one by one.")
        return {"pixel_values": np.stack(arrays)}

    def open(self, image: Any) -> Any:
        """The image as it is before resizing: a PIL image in the model's channels."""
        return open_image(image).convert("RGB" if self.channels == 3 else "L")

    def crop_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what the model sees, in pixels of an image of this size."""
        wide, tall = self._resized(width, height)
        left, top, right, bottom = _middle(wide, tall, self.crop) if self.crop else (0, 0, wide, tall)
        return left * width / wide, top * height / tall, right * width / wide, bottom * height / tall

    def _one(self, image: Any) -> Array:
        """(C, Y, X)."""
        image = self.open(image)
        size = self._resized(*image.size)
        if size != image.size:
            image = image.resize(size, self.resample)
        if self.crop is not None:
            image = image.crop(_middle(image.width, image.height, self.crop))  # zeros where the image is smaller
        pixels: Array = np.asarray(image, np.float32).reshape(image.height, image.width, self.channels)
        if self.rescale:
            pixels = pixels * np.float32(self.rescale)
        if self.mean:
            mean, std = (np.array(values, np.float32) for values in (self.mean, self.std))
            pixels = (pixels - mean) / std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing."""
        if self.size is not None:
            return self.size[1], self.size[0]
        if self.shortest is None:
            return width, height
        short, long = sorted((width, height))
        scaled = int(self.shortest * long / short)
        return (self.shortest, scaled) if width <= height else (scaled, self.shortest)


def _middle(width: int, height: int, crop: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a cut from the middle."""
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    return left, top, left + crop[1], top + crop[0]


def from_options(path: Path, config: Mapping[str, Any], channels: int) -> ImagePreprocessor:
    """As preprocessor_config.json of transformers states it; `path` is named in errors."""
    if unknown := [name for name, value in config.items() if name not in _HARMLESS and value]:
        raise CheckpointError(f"{path}: unknown option {', '.join(sorted(unknown))}.")
    size, crop = config.get("size"), config.get("crop_size")
    shortest = None
    if isinstance(size, int):  # the form of first files
        size = {"shortest_edge": size} if config.get("do_center_crop") else {"height": size, "width": size}
    if isinstance(size, dict) and "shortest_edge" in size:
        shortest = int(size["shortest_edge"])
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    resize = config.get("do_resize", True)
    normalize = config.get("do_normalize", True)
    return ImagePreprocessor(
        shortest=shortest if resize else None,
        size=(size["height"], size["width"]) if resize and isinstance(size, dict) and "height" in size else None,
        crop=(crop["height"], crop["width"]) if config.get("do_center_crop", False) and crop else None,
        resample=int(config.get("resample", 2)),
        rescale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 0.0,
        mean=tuple(config.get("image_mean") or ()) if normalize else (),
        std=tuple(config.get("image_std") or ()) if normalize else (),
        channels=channels,
    )


def from_timm(config: Mapping[str, Any], channels: int) -> ImagePreprocessor:
    """Timm resizes to the input's size over ``crop_pct``, and cuts the middle."""
    options = config.get("pretrained_cfg") or {}
    height, width = (options.get("input_size") or [3, 224, 224])[1:]
    share = options.get("crop_pct") or 0.875
    mean, std = NORMALIZATIONS["imagenet"]
    common: dict[str, Any] = {
        "resample": RESAMPLING[options.get("interpolation") or "bicubic"],
        "mean": tuple(options.get("mean") or mean),
        "std": tuple(options.get("std") or std),
        "channels": channels,
    }
    mode = options.get("crop_mode") or "center"
    scaled = math.floor(height / share), math.floor(width / share)
    if mode == "squash":
        return ImagePreprocessor(size=scaled, crop=(height, width), **common)
    if mode != "center" or height != width:
        raise CheckpointError(f"pretrained_cfg: crop_mode {mode!r} of {height} × {width} pixels is not supported.")
    return ImagePreprocessor(shortest=scaled[0], crop=(height, width), **common)
