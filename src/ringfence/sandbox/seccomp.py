"""The system calls a workload may make: an allow-list, everything else answers EPERM.

Numbers come from Linux's uapi headers; the list starts from what Python, numpy, polars and torch were seen to
need and leaves out whatever reaches beyond the fence (mount, ptrace, bpf, keys, io_uring, every socket but unix).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
from typing import Any

from ringfence.errors import UnavailableError

FILES = """
access chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
fchdir fchmod fchmodat fchmodat2 fcntl fdatasync fgetxattr flistxattr flock fstat fstatfs fsync ftruncate futimesat
getcwd getdents getdents64 getxattr lgetxattr link linkat listxattr llistxattr lseek lstat memfd_create mkdir
mkdirat newfstatat open openat pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv rename renameat renameat2 rmdir sendfile stat statfs statx symlink symlinkat sync_file_range
truncate umask unlink unlinkat utime utimensat utimes write writev
"""
MEMORY = "brk get_mempolicy madvise membarrier mincore mlock mmap mprotect mremap msync munlock munmap"
PROCESSES = """
alarm arch_prctl capget execve exit exit_group fork futex futex_wait futex_waitv futex_wake get_robust_list getcpu
getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit
getrusage getsid gettid getuid kill pause prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask
rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_yield set_robust_list set_tid_address setitimer setpgid
setrlimit setsid sigaltstack signalfd4 sysinfo tgkill times tkill uname vfork wait4 waitid
"""
TIME = """
clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
eventfd eventfd2 getrandom gettimeofday nanosleep poll ppoll pselect6 select time timer_create timer_delete
timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime
"""
UNIX_SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
sendto setsockopt shutdown
"""
ALLOWED = tuple(" ".join((FILES, MEMORY, PROCESSES, TIME, UNIX_SOCKETS)).split())

# glibc falls back to clone, whose flags a filter can read, only when clone3 does not exist.
ABSENT = ("clone3", "openat2", "io_uring_setup")
NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
# Set and get the death signal, ask for dumpable, set and get the name, ask for capabilities, no_new_privs, name memory.
PRCTLS = (1, 2, 3, 15, 16, 23, 38, 39, 0x53564D41)


@functools.cache
def program() -> bytes:
    """Return the compiled filter (struct sock_filter[]), as bubblewrap's --seccomp takes it.

    Raises:
        UnavailableError: libseccomp is not installed.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise UnavailableError("sandbox.seccomp_missing", "System calls can't be filtered: libseccomp is missing.",
                               fix="Install it: apt-get install libseccomp2") from error
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    _binary_tree(rules, pyseccomp)
    for name in ALLOWED:
        _add(rules, pyseccomp.ALLOW, name)
    for name in ABSENT:
        _add(rules, pyseccomp.ERRNO(errno.ENOSYS), name)
    _allow_with_arguments(rules, pyseccomp)
    return _compiled(rules)


def _binary_tree(rules: Any, library: Any) -> None:
    # A linear list costs a system call late in it some hundred comparisons; libseccomp before 2.5 has no tree.
    with contextlib.suppress(OSError):
        rules.set_attr(library.Attr.CTL_OPTIMIZE, 2)


def _allow_with_arguments(rules: Any, library: Any) -> None:
    for name in ("socket", "socketpair"):
        _add(rules, library.ALLOW, name, library.Arg(0, library.EQ, int(socket.AF_UNIX)))
    _add(rules, library.ALLOW, "clone", library.Arg(0, library.MASKED_EQ, NEW_NAMESPACES, 0))
    for request in IOCTLS:
        _add(rules, library.ALLOW, "ioctl", library.Arg(1, library.EQ, request))
    for option in PRCTLS:
        _add(rules, library.ALLOW, "prctl", library.Arg(0, library.EQ, option))


def _add(rules: Any, action: int, name: str, *arguments: Any) -> None:
    try:
        rules.add_rule(action, name, *arguments)
    except (OSError, ValueError):
        # An older libseccomp, or another processor, does not know the call: it stays refused.
        if name in ("read", "clone", "socket"):
            raise


def _compiled(rules: Any) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "r+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
