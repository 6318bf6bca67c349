"""Measure how far the features of MNIST's digits are from the means of their classes, in each shipped model.

`python benchmarks/typicality.py FOLDER`, with MNIST's four idx files in the folder, writes what `headwise explain`
compares an image with, and prints what it says of digits and of other images.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits, load_sample_image

from headwise.data.image_files import load_digit
from headwise.data.mnist import load_mnist
from headwise.errors import DataError
from headwise.explanation import record_attention
from headwise.models.typicality import FeatureStatistics, params_digest
from headwise.models.vit import vit_forward
from headwise.train.checkpoint import PRETRAINED, pretrained_vit

OUT = Path(__file__).parents[1] / "src/headwise/models/weights/typicality.npz"
BATCH = 500
TRAIN = 5_000  # training digits from which the means are computed


def features(images, checkpoint):
    starts = range(0, len(images), BATCH)
    batches = (vit_forward(images[i : i + BATCH], checkpoint.params, checkpoint.config)[1] for i in starts)
    return np.concatenate([cache.encoder.head.rows for cache in batches])


def write(folder: Path) -> None:
    digits, arrays = load_mnist(folder, n_validation=0), {}
    for tokenizer in PRETRAINED:
        checkpoint = pretrained_vit(tokenizer)
        train, test = (features(images, checkpoint) for images in (digits.train.images[:TRAIN], digits.test.images))
        statistics = FeatureStatistics.fit(train, digits.train.labels[:TRAIN], test)
        arrays |= {f"{params_digest(checkpoint.params)}.{k}": v.astype(np.float32) for k, v in vars(statistics).items()}
    np.savez_compressed(OUT, allow_pickle=False, **arrays)


def drawings(folder: Path):
    """Groups of image files: printed digits and letters, scanned digits, photographs, and none of these."""
    fonts = [ImageFont.truetype(font_manager.findfont(name), 80) for name in ("DejaVu Sans", "DejaVu Serif")]
    groups = {"printed digits": "0123456789", "printed letters": "ABCDEFGHJKLMNPQRTUVWXYZ"}
    images = {
        name: [_printed(sign, font) for sign in signs for font in fonts] for name, signs in groups.items()
    } | {
        "scikit-learn's digits, enlarged": [
            Image.fromarray(np.uint8(255 - 15 * image)).resize((64, 64)) for image in load_digits().images[:500]
        ],
        "squares of scikit-learn's two photographs": [
            Image.fromarray(load_sample_image(name)[y : y + 100, x : x + 100])
            for name in ("china.jpg", "flower.jpg") for y in range(0, 400, 100) for x in range(0, 600, 100)
        ],
    }  # fmt: skip
    for name, group in images.items():
        paths = [folder / f"{name} {i}.png" for i in range(len(group))]
        for image, path in zip(group, paths, strict=True):
            image.save(path)
        yield name, paths


def _printed(sign, font):
    image = Image.new("L", (130, 130), 255)
    ImageDraw.Draw(image).text((35, 15), sign, fill=0, font=font)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with MNIST's four idx files")
    parser.add_argument("--only-report", action="store_true", help="do not measure the digits again")
    parser.add_argument("--images", type=Path, default=Path("runs/typicality"), help="folder for the images tried")
    arguments = parser.parse_args()
    if not arguments.only_report:
        write(arguments.folder)
    arguments.images.mkdir(parents=True, exist_ok=True)
    for name, paths in drawings(arguments.images):
        results = [_is_atypical(path) for path in paths]
        print(f"{name}: {results.count(True)} of {len(paths)} look unlike digits, {results.count(None)} are refused")


def _is_atypical(path):
    checkpoint = pretrained_vit()
    try:
        return record_attention(load_digit(path).image, checkpoint.params, checkpoint.config).is_atypical
    except DataError:  # nothing stands out from the background
        return None


if __name__ == "__main__":
    main()
