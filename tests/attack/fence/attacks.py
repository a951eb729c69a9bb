"""Small hostile programs. Each prints REACHED where it got what it wanted, and STOPPED with the reason where not."""

from __future__ import annotations

from textwrap import indent

PRELUDE = """
import ctypes, os, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""

# Where PORT, ABSTRACT, SECRET and PID stand, the test puts a live listener, a file and a process of the host.
NETWORK = {
    "tcp": "socket.create_connection(('127.0.0.1', PORT), 2).send(b'x')",
    "tcp_ipv6_socket": "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))",
    "icmp_raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "abstract_unix": "s = socket.socket(socket.AF_UNIX); s.connect('\\0' + ABSTRACT)",
    "socket_family_in_high_bits": "call(41, ctypes.c_ulong(1 << 32 | 2), 1, 0)",
}
REACH = {
    "read_a_file_of_root": "print(open(SECRET).read())",
    "read_the_password_hashes": "print(len(open('/etc/shadow').read()))",
    "environment_of_a_host_process": "assert open(f'/proc/{PID}/environ').read()",
    "signal_a_host_process": "os.kill(PID, 0)",
    "write_the_system": "open('/usr/lib/ringfence-attack', 'w').close(); os.remove('/usr/lib/ringfence-attack')",
    "write_the_interpreter": "p = os.path.dirname(os.__file__) + '/attack'; open(p, 'w').close(); os.remove(p)",
    "list_home_folders": "assert os.listdir('/root') is not None",
}
RIGHTS = {
    "become_root": "os.setuid(0)",
    "new_user_namespace": "call(272, 0x10000000)",
    "new_user_namespace_by_clone": "p = call(56, 0x10000000 | 17, 0, 0, 0, 0)\nif not p: os._exit(0)\nos.waitpid(p, 0)",
    "new_network_namespace": "call(272, 0x40000000)",
    "enter_a_namespace": "call(308, os.open('/proc/self/ns/uts', os.O_RDONLY), 0)",
    "mount": "call(272, 0x00020000)\nassert libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
    "change_root": "os.chroot('/usr')",
    "make_a_device": "os.mknod('/tmp/ringfence-attack', 0o60600, os.makedev(1, 3)); os.remove('/tmp/ringfence-attack')",
    "trace_a_process": "p = os.fork()\nif not p: time.sleep(5); os._exit(0)\ncall(101, 16, p, 0, 0)\nos.kill(p, 9)",
    "read_another_memory": "b = ctypes.create_string_buffer(8)\n"
                           "v = (ctypes.c_void_p * 2)(ctypes.addressof(b), 8)\ncall(310, os.getpid(), v, 1, v, 1, 0)",
    "load_bpf": "call(321, 0, (ctypes.c_uint32 * 18)(2, 4, 4, 1), 72)",
    "keyring": "call(248, b'user', b'attack', b'x', 1, -2)",
    "perf_events": "call(298, (ctypes.c_uint64 * 16)(1 | 128 << 32), 0, -1, -1, 0)",
    "userfaultfd": "call(323, 0)",
    "io_uring": "call(425, 4, (ctypes.c_uint32 * 30)())",
    "file_by_handle": "h = (ctypes.c_uint32 * 40)(128)\n"
                      "call(303, -100, b'/tmp', h, ctypes.byref(ctypes.c_int()), 0)",
    "own_cpu_affinity": "os.sched_setaffinity(0, os.sched_getaffinity(0))",
    "dump_core": "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))",
    "personality": "call(135, 0x0040000)",
    "set_host_name": "call(272, 0x04000000)\ncall(170, b'x', 1)",
}
EVERY = {**NETWORK, **REACH, **RIGHTS}


def program(body: str, **places: object) -> str:
    """Return the attack as a program, with what stands for the host's listeners and files filled in."""
    for name, value in places.items():
        body = body.replace(name, repr(value))
    return f"{PRELUDE}\ntry:\n{indent(body, '    ')}\n    print('REACHED')\nexcept Exception as error:\n" \
           "    print('STOPPED', type(error).__name__, error)\n"
