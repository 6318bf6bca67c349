import pytest

from headwise.files import atomic_write


def test_a_block_that_ends_badly_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with atomic_write(path) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_may_be_read_by_those_who_may_read_any_new_file(tmp_path):
    """Also one that a library wrote for its owner alone."""
    (tmp_path / "plain").touch()
    with atomic_write(tmp_path / "a.bin") as beside:
        beside.unlink()
        beside.touch(mode=0o600)
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode
