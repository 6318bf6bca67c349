"""Confine this process permanently, before anything untrusted runs in it.

Each mechanism is in the kernel and needs no privilege, so it is the same for root (who loses every capability) and for
other users, inside a container or not:

- resource limits: memory, processor time, no file may grow, no core dump;
- Landlock (Linux 5.13): only Python's own folders can be read, Headwise's not among them, and nothing written;
- seccomp: only the system calls that computation needs. No process, no thread, no program, no socket, no signal to
  another process, no tracing, no change of owner or mode; where Landlock is missing, no file is opened for writing.

`confine` returns what is *not* confined on this system, so that it can be reported.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

# Allowed system calls with their numbers on x86_64 and on aarch64 (- where there is none).
SYSTEM_CALLS = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, close 3 57, lseek 8 62, dup 32 23,
dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, fstat 5 80, stat 4 -, lstat 6 -, newfstatat 262 79, statx 332 291,
statfs 137 43, fstatfs 138 44, access 21 -, faccessat 269 48, readlink 89 -, readlinkat 267 78, getdents 78 -,
getdents64 217 61, getcwd 79 17, chdir 80 49, fchdir 81 50, umask 95 166, fadvise64 221 223, select 23 -, poll 7 -,
pselect6 270 72, ppoll 271 73, mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216, brk 12 214, madvise 28 233,
mincore 27 232, msync 26 227, get_mempolicy 239 236, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139,
rt_sigpending 127 136, sigaltstack 131 132, restart_syscall 219 128, setitimer 38 103, getitimer 36 102, alarm 37 -,
nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -,
times 100 153, getrusage 98 165, getrlimit 97 163, sched_yield 24 124, sched_getaffinity 204 123, getcpu 309 168,
getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
getgroups 115 158, getpgrp 111 -, getpgid 121 155, getsid 124 156, uname 63 160, sysinfo 99 179, getrandom 318 278,
futex 202 98, set_robust_list 273 99, set_tid_address 218 96, rseq 334 293, membarrier 324 283, arch_prctl 158 -,
exit 60 93, exit_group 231 94, close_range 436 436, faccessat2 439 439
"""
CHECKED_CALLS = {"open": (2, None), "openat": (257, 56), "fcntl": (72, 25), "ioctl": (16, 29)}
CHECKED_CALLS |= {"tgkill": (234, 131), "prlimit64": (302, 261)}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, the kernel's own number
_NEW = 424  # from here on numbers are the same everywhere; "no such call" lets a library take its older way

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_FCNTL = (0, 1, 2, 3, 4, 1030)  # duplicate, flags; not the ones that direct signals at a process
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, how much is there, close on exec
_EPERM, _ENOSYS = 1, 38


def confine(memory: int, seconds: int, hidden: Sequence[str], folders: Sequence[str] = ()) -> tuple[str, ...]:
    """Apply every mechanism that this system has, and return what is not confined, in words.

    Limits are bytes of address space, besides what this process takes up already, and seconds of processor time. The
    `hidden` folders cannot be read although they lie among Python's own, the others can be read in addition.
    """
    _wait_for_other_threads()
    unconfined = _limit(memory, seconds)
    if not sys.platform.startswith("linux"):
        return (*unconfined, "files, network and processes have only the limits of the user (this is not Linux)")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: the grader's end is this one's end
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no other process reads this memory
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS: both mechanisms need it, and no set-user-id program can undo it
    libc.capset(struct.pack("II", 0x20080522, 0), bytes(24))
    landlocked = _landlock(libc, hidden, folders)
    if not landlocked:
        unconfined.append("other files can be read (Landlock needs Linux 5.13)")
    if not _seccomp(libc, landlocked):
        unconfined.append("network and processes are not confined (no seccomp here)")
    return tuple(unconfined)


def _wait_for_other_threads() -> None:
    """Confinement applies to one thread; another thread would not be confined."""
    for _ in range(100):
        if threading.active_count() == 1 and len(list(Path("/proc/self").glob("task/*"))) <= 1:
            return
        time.sleep(0.02)
    raise RuntimeError("another thread is running")


def _limit(memory: int, seconds: int) -> list[str]:
    """Set the resource limits, never above what this process may use itself; returns what could not be limited."""
    unconfined = []
    limits = {"AS": memory + _address_space(), "CPU": seconds, "FSIZE": 0, "CORE": 0, "NOFILE": 64, "NPROC": 0}
    for name, value in limits.items():
        what = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(what)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(what, (value, value))
        except (ValueError, OSError):
            unconfined.append(f"this system sets no limit to RLIMIT_{name}")
    return unconfined


def _address_space() -> int:
    """The bytes that this process takes up, of libraries above all: a build of torch for GPUs takes 3 GB."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # this is not Linux
        return 0


def _landlock(libc: ctypes.CDLL, hidden: Sequence[str], folders: Sequence[str]) -> bool:
    """Refuse every use of files that the kernel can refuse, and then allow reading Python's folders."""
    abi = libc.syscall(444, None, 0, 1)
    if abi < 1:
        return False
    read, read_dir, write = 1 << 2, 1 << 3, 1 << 1
    handled = (1 << (13, 14, 15, 15, 16)[min(abi, 5) - 1]) - 1
    rules = libc.syscall(444, struct.pack("Q", handled), 8, 0)
    allowed = [("/etc/ld.so.cache", read), ("/usr/share/zoneinfo", read | read_dir), ("/etc/localtime", read)]
    allowed += [("/dev/urandom", read), ("/dev/zero", read), ("/dev/null", read | write)]
    allowed += [(folder, read | read_dir) for folder in folders]
    out_of_sight = [Path(path).resolve() for path in hidden]
    for root in {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, *_LIBRARIES)}:
        allowed += visible_paths(root, out_of_sight, read | read_dir, read_dir)
    for path, rights in allowed:
        if os.path.exists(path):
            opened = os.open(path, os.O_PATH)
            rights &= ~0 if os.path.isdir(path) else ~read_dir
            libc.syscall(445, rules, 1, struct.pack("=Qi", rights, opened), 0)
            os.close(opened)
    refused = libc.syscall(446, rules, 0)
    os.close(rules)
    return not refused


def visible_paths(root: Path, hidden: Sequence[Path], all_of_it: int, names: int) -> Iterator[tuple[str, int]]:
    """The paths that make up `root` without the hidden ones: a rule can only add, and adds all that lies below."""
    if root in hidden or root.is_symlink():  # the target of a link has its own rule, or should have none
        return
    if not any(root in path.parents for path in hidden):
        yield str(root), all_of_it
        return
    yield str(root), names
    for child in root.iterdir():
        yield from visible_paths(child, hidden, all_of_it, names)


def _seccomp(libc: ctypes.CDLL, landlocked: bool) -> bool:
    """Install the filter; False where this machine's call numbers are not known, or the kernel has none."""
    if platform.machine() not in _ARCHITECTURES:
        return False
    program = _filter(*_ARCHITECTURES[platform.machine()], landlocked)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    return bool(libc.prctl(22, 2, header, 0, 0) == 0)


def _filter(column: int, architecture: int, landlocked: bool) -> list[tuple[int, int, int, int]]:
    """The filter as lines of classic BPF: (operation, jump if true, jump if false, operand)."""
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown, kill = 0x7FFF0000, 0x00050000 | _EPERM, 0x00050000 | _ENOSYS, 0x80000000

    def argument(which: int) -> tuple[int, int, int, int]:
        return load, 0, 0, 16 + 8 * which  # its low half

    def when(call: str, body: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
        number = CHECKED_CALLS[call][column]
        return [] if number is None else [(equal, 0, len(body), number), *body]

    def one_of(which: int, values: Sequence[int]) -> list[tuple[int, int, int, int]]:
        tests = [line for value in values for line in ((equal, 0, 1, value), (give, 0, 0, allow))]
        return [argument(which), *tests, (give, 0, 0, refuse)]

    def to_read(which: int) -> list[tuple[int, int, int, int]]:
        if landlocked:
            return [(give, 0, 0, allow)]
        return [argument(which), (any_bit, 0, 1, _WRITES), (give, 0, 0, refuse), (give, 0, 0, allow)]

    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    for entry in SYSTEM_CALLS.replace("\n", " ").split(","):
        number = entry.split()[1 + column]
        if number != "-":
            program += [(equal, 0, 1, int(number)), (give, 0, 0, allow)]
    program += when("open", to_read(1)) + when("openat", to_read(2))
    program += when("fcntl", one_of(1, _FCNTL)) + when("ioctl", one_of(1, _IOCTL))
    program += when("tgkill", one_of(0, [os.getpid()])) + when("prlimit64", one_of(0, [0, os.getpid()]))
    return [*program, (at_least, 0, 1, _NEW), (give, 0, 0, unknown), (give, 0, 0, refuse)]
