import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headwise.errors import DataError
from headwise.files import atomic_folder, atomic_write, check_file, lock_file, lock_folder


@pytest.fixture
def other_process():
    """Starts Python code that prints a line and then waits; returns the process after the line."""
    started = []

    def start(code, *arguments):
        command = [sys.executable, "-c", f"{code}\n    print('ready', flush=True); input()", *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    with (
        pytest.raises(DataError, match=r"a\.txt: cannot be written \(No space left"),
        atomic_write(tmp_path / "a.txt"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        (tmp_path / "another").read_text()
    assert not list(tmp_path.iterdir())


def test_a_file_may_be_read_by_those_who_may_read_any_new_file(tmp_path):
    """Also one that a library wrote for its owner alone."""
    (tmp_path / "plain").touch()
    with atomic_write(tmp_path / "a.bin") as temporary:
        temporary.unlink()
        temporary.touch(mode=0o600)
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(tmp_path / "pipe") as temporary:
        temporary.write_text("new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("write", ["atomic_write", "atomic_folder"])
def test_what_a_killed_process_left_is_removed_by_the_next_write(write, tmp_path, other_process):
    code = f"import sys; from pathlib import Path; from headwise.files import {write} as write\n"
    code += "with write(Path(sys.argv[1])) as t:"
    target = tmp_path / "a.txt"
    killed, alive = (other_process(code, target) for _ in range(2))
    other_process(code, tmp_path / "b.txt").kill()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list(tmp_path.glob(".a-*.txt"))) == 2
    with {"atomic_write": atomic_write, "atomic_folder": atomic_folder}[write](target):
        pass
    assert len(list(tmp_path.glob(".a-*.txt"))) == 1  # that of the process that is alive
    assert len(list(tmp_path.glob(".b-*.txt"))) == 1  # of another file
    alive.communicate("go on\n")
    assert not list(tmp_path.glob(".a-*.txt"))


def test_two_processes_cannot_write_to_one_folder(tmp_path, other_process):
    code = "import sys; from pathlib import Path; from headwise.files import lock_folder\n"
    code += "with lock_folder(Path(sys.argv[1])):"
    folder = tmp_path / "runs" / "first"
    first = other_process(code, folder)
    with pytest.raises(DataError, match=str(folder)), lock_folder(folder):
        pass
    with lock_folder(tmp_path / "more" / "runs"):
        pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    with lock_folder(folder):  # the lock has ended with its process
        (folder / "result").touch()
    assert list(tmp_path.iterdir()) == [folder.parent]  # and an empty folder does not stay


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_two_processes_cannot_write_one_file_or_replace_one_folder(kind, tmp_path, other_process):
    code = "import sys; from pathlib import Path; from headwise.files import lock_file\n"
    code += "with lock_file(Path(sys.argv[1])):"
    path = tmp_path / "results"
    path.mkdir() if kind == "folder" else path.touch()
    first = other_process(code, path)
    with pytest.raises(DataError, match=f"{path}: another process is writing to it"), lock_file(path):
        pass
    with lock_file(tmp_path / "others"):
        pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    with lock_file(path):  # the lock has ended with its process
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "old").touch()

    def fail(temporary: Path):
        (temporary / "half").touch()
        raise KeyError

    with pytest.raises(KeyError), atomic_folder(folder) as temporary:
        fail(temporary)
    assert [path.name for path in folder.iterdir()] == ["old"]
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none", "no such file"),
        (".", "is a folder; expected a file"),
        (os.devnull, "not a regular file"),
    ],
)
def test_an_error_says_what_is_there_in_place_of_a_file(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"^file: {path}: {words}.$"):
        check_file(Path(path), "file: ")
