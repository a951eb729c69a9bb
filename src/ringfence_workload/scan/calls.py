"""Dangerous calls in Python source, found in its syntax tree: nothing is imported or run.

What is found says what a simulator *tries*; what it can do is the fence's business.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from ringfence_workload.scan.finding import Finding, printable

_RULES: tuple[tuple[str, str, str], ...] = (
    ("high", "call.process", r"os\.(system|popen|exec\w+|spawn\w+|posix_spawnp?|fork|forkpty|kill|killpg)|"
                             r"subprocess\..+|pty\..+|_posixsubprocess\..+|asyncio\.create_subprocess_\w+"),
    ("medium", "call.process", r"multiprocessing\..+|concurrent\.futures\.ProcessPoolExecutor"),
    ("high", "call.native", r"(ctypes|cffi|_ctypes)\..+|numpy\.ctypeslib\.load_library"),
    ("high", "call.hidden", r"sys\.(_getframe|settrace|setprofile|modules)"),
    ("high", "call.code", r"(builtins\.)?(eval|exec|compile)|types\.(CodeType|FunctionType)|code\.\w+|runpy\..+"),
    ("high", "call.unpickle", r"(pickle|_pickle|cPickle|cloudpickle|dill|joblib|marshal)\.(load|loads|Unpickler)|"
                              r"shelve\.open|pandas\.read_pickle|torch\.load|yaml\.(unsafe_load|full_load|\w*(Unsafe|Full)Loader|Loader)"),
    ("medium", "call.identity", r"os\.(set\w*[ug]id|chmod|chown|lchown|chroot|mknod|mkfifo|setns|unshare)"),
    ("high", "call.import", r"importlib\.(util\..+|machinery\..+|_bootstrap.*)|imp\..+|zipimport\..+"),
)
_CALLS = tuple((severity, rule, re.compile(pattern)) for severity, rule, pattern in _RULES)
_NETWORK = frozenset({"socket", "_socket", "ssl", "socketserver", "http.client", "http.server", "urllib.request",
                      "urllib3", "ftplib", "smtplib", "poplib", "imaplib", "nntplib", "telnetlib", "xmlrpc",
                      "requests", "httpx", "aiohttp", "websocket", "websockets", "paramiko", "grpc", "zmq", "pycurl",
                      "boto3", "botocore", "dns", "scapy", "asyncssh", "tornado", "twisted", "webbrowser"})
_NATIVE = frozenset({"ctypes", "_ctypes", "cffi", "_cffi_backend", "mmap", "pyximport", "Cython", "numba.core"})
_PROCESS = frozenset({"subprocess", "pty", "_posixsubprocess"})
_PLACES = re.compile(r"(?:/proc|/sys|/etc|/dev|/root|/home|/var|/run|/opt)(?:/|$)|~/")
_INSIDES = frozenset({"__subclasses__", "__globals__", "__code__", "f_globals", "gi_frame"})
BUILT_IN = frozenset({"eval", "exec", "compile", "getattr", "__import__", "__builtins__"})
MODULES_THAT_ACT = frozenset({"os", "posix", "sys", "subprocess", "builtins", "importlib", "ctypes", "socket"})


def find(name: str, source: bytes) -> list[Finding]:
    """Return what a module of the project does that a simulator has no need for."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [Finding("high", "code.unreadable", name, getattr(error, "lineno", 0) or 0,
                        f"it can't be looked into: {printable(str(error))[:80]}")]
    return list(dict.fromkeys(_Walk(name, tree).findings()))


class _Walk:
    """One module. Names are followed through imports and plain assignments (`import os as o; f = o.system`)."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self._name, self._nodes = name, list(ast.walk(tree))
        self._known: dict[str, str] = {}
        for node in self._nodes:
            self._learn_import(node)
        for node in self._nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
                for target in node.targets:
                    if isinstance(target, ast.Name) and (path := self._path(node.value)):
                        self._known.setdefault(target.id, path)

    def _learn_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self._known[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                self._known[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def findings(self) -> Iterator[Finding]:
        """Yield what stands in the module, in no particular order."""
        for node in self._nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self._imports(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
                yield from self._mention(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _PLACES.match(node.value):
                yield self._found("medium", "call.host_path", node, repr(node.value[:60]))

    def _imports(self, node: ast.Import | ast.ImportFrom) -> Iterator[Finding]:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*" and node.module in MODULES_THAT_ACT:
            yield self._found("high", "call.hidden", node, f"from {node.module} import *")
        for module in _modules(node):
            yield from self._of_module(module, node)

    def _of_module(self, module: str, node: ast.AST) -> Iterator[Finding]:
        within = {".".join(module.split(".")[:count]) for count in range(1, module.count(".") + 2)}
        for severity, rule, modules in (("high", "call.network", _NETWORK), ("high", "call.native", _NATIVE),
                                        ("high", "call.process", _PROCESS)):
            if within & modules:
                yield self._found(severity, rule, node, f"import {module}")

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        path = self._path(node.func)
        first = node.args[0] if node.args else None
        if path in ("__import__", "builtins.__import__", "importlib.import_module", "importlib.__import__"):
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield self._found("low", "call.import", node, f"{path}({first.value[:40]!r})")
                yield from self._of_module(first.value, node)
            else:
                yield self._found("high", "call.import", node, f"{path} of a name made while it runs")
        elif path in ("getattr", "builtins.getattr") and len(node.args) > 1:
            yield from self._getattr(node)
        elif path.endswith(".load") and any(keyword.arg == "allow_pickle" and not _false(keyword.value)
                                            for keyword in node.keywords):
            yield self._found("high", "call.unpickle", node, f"{path}(allow_pickle=…)")

    def _getattr(self, node: ast.Call) -> Iterator[Finding]:
        owner = self._path(node.args[0]) or ("__import__" if isinstance(node.args[0], ast.Call) else "")
        name = node.args[1]
        if owner.partition(".")[0] not in MODULES_THAT_ACT | {"__import__", "__builtins__"}:
            return
        if isinstance(name, ast.Constant):
            yield from self._of_path(f"{owner}.{name.value!s}", node)
        else:
            yield self._found("high", "call.hidden", node, f"getattr of {owner} by a name made while it runs")

    def _mention(self, node: ast.expr) -> Iterator[Finding]:
        """A dangerous function is one wherever it is mentioned: it may be called under another name."""
        path = self._path(node)
        attribute = node.attr if isinstance(node, ast.Attribute) else ""
        if path in ("__builtins__", "builtins.__dict__") or attribute in _INSIDES:
            yield self._found("high", "call.hidden", node, path or f"….{attribute}")
        else:
            yield from self._of_path(path, node)

    def _of_path(self, path: str, node: ast.AST) -> Iterator[Finding]:
        path = path.replace("posix.", "os.", 1) if path.startswith("posix.") else path
        for severity, rule, pattern in _CALLS:
            if path and pattern.fullmatch(path):
                yield self._found(severity, rule, node, path)
                return

    def _path(self, node: ast.AST) -> str:
        """Return `os.path.join` of such an expression, its names resolved; empty for any other."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        root = self._known.get(node.id) or (node.id if node.id in BUILT_IN else "")
        return ".".join([root, *reversed(parts)]) if root else ""

    def _found(self, severity: str, rule: str, node: ast.AST, evidence: str) -> Finding:
        return Finding(severity, rule, self._name, int(getattr(node, "lineno", 0)), printable(evidence)[:120])


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level or not node.module:
        return []
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
