"""Reading .ts and .npz, and every kind of bad input told in words."""

import importlib.util

import numpy as np
import pytest

from headwise.data.series import bundled_series, load_series, standardize, train_validation_split
from headwise.errors import DataError, HeadwiseError, MissingExtraError

HEADER = "@problemName tiny\n@timeStamps false\n@univariate false\n@classLabel true a b\n@data\n"
GOOD = "1,2,3:4,5,6:a\n7,8:9,10:b\n"


def write(folder, train=GOOD, test=GOOD, header=HEADER):
    (folder / "tiny_TRAIN.ts").write_text("# a comment\n" + header + train)
    (folder / "tiny_TEST.ts").write_text(header + test)
    return folder


def test_a_folder_of_ts(tmp_path):
    data = load_series(write(tmp_path))
    np.testing.assert_array_equal(data.train.x[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(data.train.x[1], [[7, 9], [8, 10], [0, 0]])
    assert data.train.lengths.tolist() == [3, 2]
    assert data.train.labels.tolist() == [0, 1]
    assert (data.name, data.classes, data.variables, data.steps) == ("tiny", ("a", "b"), 2, 3)
    assert load_series(tmp_path / "tiny_TEST.ts").name == "tiny"


def test_the_same_from_npz(tmp_path):
    expected = load_series(write(tmp_path))
    own = tmp_path / "npz"
    own.mkdir()
    x = expected.train.x.copy()
    x[1, 2:] = np.nan  # padding is not read
    for part in ("TRAIN", "TEST"):
        np.savez(own / f"tiny_{part}.npz", x=x, y=np.array(["a", "b"]), lengths=np.array([3, 2]))
    found = load_series(own)
    for mine, theirs in zip(found.train, expected.train, strict=True):
        np.testing.assert_array_equal(mine, theirs)


ARCHIVE = {
    "one.ts": "\ufeff" + HEADER + "1,2,3:a\n7,8:b\n",
    "one.tsv": "a\t1\t2\t3\nb\t7\t8\tNaN\n",
    "one.txt": "  a   1.0  2.0  3.0\n  b   7.0  8.0  NaN\n",
    "one.arff": "@relation one\n@attribute t0 numeric\n@attribute class {a,b}\n@data\n1,2,3,a\n7,8,?,b\n",
    "two.ts": HEADER + GOOD,
    "two.arff": "@relation two\n@attribute all relational\n@end all\n@DATA\n'1,2,3\\n4,5,6',a\n'7,8,?\\n9,10,?',b\n",
}


@pytest.mark.parametrize("name", ARCHIVE)
def test_the_formats_of_the_archives(name, tmp_path):
    stem, suffix = name.split(".")
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"{stem}_{part}.{suffix}").write_text(ARCHIVE[name], encoding="utf-8")
    data = load_series(tmp_path)
    expected = [[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10], [0, 0]]
    np.testing.assert_array_equal(data.train.x, np.array(expected)[..., : 1 + (stem == "two")])
    assert (data.train.lengths.tolist(), data.classes) == ([3, 2], ("a", "b"))


def test_of_several_formats_of_a_set_one_is_read(tmp_path):
    write(tmp_path)
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"tiny_{part}.arff").write_text("")
    assert load_series(tmp_path).name == "tiny"
    for path in tmp_path.glob("*.ts"):
        path.rename(path.with_suffix(".TS"))
    assert load_series(tmp_path).name == "tiny"
    (tmp_path / "other_TRAIN.ts").write_text("")
    with pytest.raises(DataError, match="expected one file NAME_TRAIN"):
        load_series(tmp_path)


def test_missing_values_inside_a_series_are_refused(tmp_path):
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"a_{part}.tsv").write_text("a\t1\tNaN\t3\nb\t1\t2\t3\n")
    with pytest.raises(DataError, match="line 1: missing values"):
        load_series(tmp_path)


def test_aeon_reads_the_bundled_sets_alike():
    pytest.importorskip("aeon")
    from aeon.datasets import load_classification

    ours = load_series("ItalyPowerDemand")
    theirs, labels = load_classification("ItalyPowerDemand", split="train")
    np.testing.assert_allclose(ours.train.x.swapaxes(1, 2), theirs, rtol=1e-6)
    assert [ours.classes[label] for label in ours.train.labels] == labels.tolist()


def test_the_official_splits_are_there():
    data = load_series("JapaneseVowels")
    assert (len(data.train.labels), len(data.test.labels), data.variables, data.steps) == (270, 370, 12, 29)
    assert (data.train.lengths.min(), data.test.lengths.min()) == (7, 7)
    assert np.bincount(data.train.labels).tolist() == [30] * 9
    assert {"BasicMotions", "JapaneseVowels"} <= set(bundled_series())


def test_numbers_to_predict(tmp_path):
    header = HEADER.replace("@classLabel true a b", "@targetLabel true")
    data = load_series(write(tmp_path, "1:2:0.5\n", "1:2:-3\n", header))
    assert data.classes == ()
    assert data.test.labels.tolist() == [-3]
    folder = write(tmp_path, "1:2:0.5\n", header=header)
    (folder / "tiny_TEST.ts").write_text(HEADER + GOOD)
    with pytest.raises(DataError, match=r"TEST\.ts: expected numbers for labels, as the training series have; got cl"):
        load_series(folder)
    with pytest.raises(DataError, match="a number to predict is missing"):
        load_series(write(tmp_path, "1:2:0.5\n", "1:2:nan\n", header))
    with pytest.raises(DataError, match="expected a number for every label"):
        load_series(write(tmp_path, "1:2:0.5\n", "1:2:x\n", header))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (GOOD + "1,2:a\n", GOOD, r"line 9: expected 2 variables, as in the first series; got 1"),
        (GOOD, "1,2:a\n", r"tiny_TEST.ts: expected 2 variables, as the training series have; got 1"),
        (GOOD, "1,2,3:4,5:a\n", r"its variables have 2 to 3 steps"),
        (GOOD, "1,?:4,5:a\n", r"tiny_TEST.ts, line 6: missing values \(\? or NaN\); fill them in"),
        (GOOD, "1,NaN:4,5:a\n", r"missing values"),
        (GOOD, "1,x:4,5:a\n", r"expected numbers between commas; got 'x'"),
        (GOOD, "1,1e99:4,5:a\n", r"beyond what float32 can hold"),
        (GOOD, "1 2 3\n", r"expected values, a colon and a label"),
        (GOOD, "1:2:c\n", r"the class 'c' is not in the header's list \(a, b\)"),
        ("1:2:a\n1:3:a\n", GOOD, r"expected two classes or more; all series are 'a'"),
        (GOOD, "", r"the set is empty"),
        ("", GOOD, r"the set is empty"),
    ],
)
def test_bad_lines(tmp_path, train, test, message):
    with pytest.raises(DataError, match=message):
        load_series(write(tmp_path, train, test))


def test_a_class_of_the_test_series_alone(tmp_path):
    header = HEADER.replace("a b", "a b c")
    with pytest.raises(DataError, match=r"class 'c' \(2 series\)"):
        load_series(write(tmp_path, GOOD, GOOD + "1:2:c\n1:2:c\n", header))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("@timeStamps false", "@timeStamps true"), "time stamps"),
        (HEADER.replace("@classLabel true a b", "@classLabel false"), "no labels"),
        (HEADER.replace("@data\n", ""), "no line @data"),
    ],
)
def test_bad_headers(tmp_path, header, message):
    with pytest.raises(DataError, match=message):
        load_series(write(tmp_path, header=header))


def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(DataError, match="nor a set that comes with aeon, such as ACSF1") as refused:
        load_series("Nonsense")
    assert "Covid3Month," not in str(refused.value)  # its labels are numbers
    with pytest.raises(DataError, match=r"expected one file NAME_TRAIN, .*; got none"):
        load_series(tmp_path)
    write(tmp_path)
    (tmp_path / "tiny_TEST.ts").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"tiny_TEST.ts: cannot be read"):
        load_series(tmp_path)
    (tmp_path / "tiny_TEST.ts").unlink()
    with pytest.raises(DataError, match=r"tiny_TEST.ts: no such file"):
        load_series(tmp_path)
    with pytest.raises(DataError, match="a name that ends in _TRAIN or _TEST"):
        load_series(tmp_path / "tiny.ts")


def test_labels_of_any_letters(tmp_path):
    digits = HEADER.replace("a b", "10 9 ²")
    data = load_series(write(tmp_path, *[GOOD.replace(":a", ":²").replace(":b", ":9")] * 2, header=digits))
    assert set(data.classes) == {"9", "²"}
    for part in ("TRAIN", "TEST"):
        np.savez(tmp_path / f"own_{part}.npz", x=np.ones((2, 3, 1)), y=np.array([b"a", b"b"]))
    assert load_series(tmp_path / "own_TRAIN.npz").classes == ("a", "b")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((2, 3))}, r"expected the arrays x \(B, N, V\) and y \(B,\); got x"),
        ({"x": np.ones((2, 3)), "y": np.arange(2)}, r"x: expected numbers \(B, N, V\)"),
        ({"x": np.float64(3), "y": np.arange(2)}, r"x: expected numbers \(B, N, V\)"),
        ({"x": np.ones((2, 3, 1)), "y": np.arange(3)}, r"expected y and lengths of shape \(2,\)"),
        ({"x": np.ones((2, 3, 1)), "y": np.arange(2), "lengths": np.array([0, 3])}, "whole numbers from 1 to N=3"),
        ({"x": np.full((2, 3, 1), np.nan), "y": np.arange(2)}, r"series 0 has missing values \(NaN\)"),
        ({"x": np.ones((0, 3, 1)), "y": np.arange(0)}, "B at least 1"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    for part in ("TRAIN", "TEST"):
        np.savez(tmp_path / f"own_{part}.npz", **arrays)
    with pytest.raises(HeadwiseError, match=message):
        load_series(tmp_path)


def test_no_archive_at_all(tmp_path):
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"own_{part}.npz").write_bytes(b"PK\3\4 nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        load_series(tmp_path)


def test_without_aeon(monkeypatch):
    monkeypatch.setattr("headwise.data.series.find_spec", lambda name: None)
    assert importlib.util.find_spec("numpy")
    with pytest.raises(MissingExtraError, match=r"pip install 'headwise\[series\]'"):
        load_series("JapaneseVowels")


def test_standardising_by_the_training_series_alone(tmp_path):
    data = load_series(write(tmp_path, test="100,200:0,0:a\n"))
    scaled = standardize(data)
    rows = np.concatenate([x[:n] for x, n in zip(scaled.train.x, scaled.train.lengths, strict=True)])
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-6)
    assert scaled.train.x[1, 2].tolist() == [0, 0]  # padding stays zero
    first = np.array([1, 2, 3, 7, 8.0])
    assert scaled.test.x[0, 0, 0] == pytest.approx((100 - first.mean()) / first.std())
    constant = standardize(load_series(write(tmp_path, "5,5:1,2:a\n5,5:1,2:b\n")))
    np.testing.assert_array_equal(constant.train.x[:, :, 0], 0)


def test_holding_out_looks_at_no_test_series():
    data = load_series("JapaneseVowels")
    held = train_validation_split(data, 0.25, seed=1)
    assert np.bincount(held.test.labels).tolist() == [8] * 9
    assert np.bincount(held.train.labels).tolist() == [22] * 9
    together = {x.tobytes() for x in np.concatenate([held.train.x, held.test.x])}
    assert together == {x.tobytes() for x in data.train.x}
    assert len(together) == 270
    assert not np.array_equal(held.test.x, train_validation_split(data, 0.25, seed=2).test.x)


def test_what_cannot_be_held_out(tmp_path):
    data = load_series(write(tmp_path))
    with pytest.raises(DataError, match="class 'a' has one series"):
        train_validation_split(data, 0.5)
    with pytest.raises(DataError, match="fraction: expected a number between 0 and 1"):
        train_validation_split(data, 1.0)
    with pytest.raises(DataError, match="seed: expected 0 or more; got -1"):
        train_validation_split(data, 0.5, -1)
    numbers = write(tmp_path, "1:2:0.5\n", "1:2:-3\n", HEADER.replace("@classLabel true a b", "@targetLabel true"))
    with pytest.raises(DataError, match="tiny: there is one series, so none can be held out"):
        train_validation_split(load_series(numbers), 0.5)
