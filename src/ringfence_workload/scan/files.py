"""Files that say no good by what they are: binaries, bytecode, pickles, links, setuid and hidden ones."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from ringfence_workload.scan.finding import Finding

_NATIVE = {b"\x7fELF": "an ELF program or library",
           b"\xfe\xed\xfa\xce": "a Mach-O binary", b"\xfe\xed\xfa\xcf": "a Mach-O binary",
           b"\xce\xfa\xed\xfe": "a Mach-O binary", b"\xcf\xfa\xed\xfe": "a Mach-O binary",
           b"\xca\xfe\xba\xbe": "a Mach-O or Java binary", b"\x00asm": "WebAssembly"}
_NATIVE_NAMES = (".so", ".dll", ".dylib", ".pyd", ".exe", ".o", ".a")
_ARCHIVES = {b"PK\x03\x04": "a zip", b"\x1f\x8b": "a gzip", b"BZh": "a bzip2", b"\xfd7zXZ": "an xz",
             b"7z\xbc\xaf": "a 7z", b"Rar!": "a rar", b"(\xb5/\xfd": "a zstd"}
_ARRAYS = (".npz",)  # a zip by its form, which NumPy reads without pickle unless it is told otherwise
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth")
_HARMLESS = frozenset({".gitignore", ".gitattributes", ".gitkeep", ".editorconfig", ".pre-commit-config.yaml"})
_OURS = frozenset({"gymnasium", "numpy", "yaml", "safetensors", "polars", "ringfence_workload", "sitecustomize",
                   "usercustomize"})


def of_member(member: tarfile.TarInfo) -> Iterator[Finding]:
    """Yield what a bundle's entry says before its content is read."""
    path = PurePosixPath(member.name)
    if member.name.startswith("/") or ".." in path.parts:
        yield Finding("critical", "file.outside", member.name, 0, "it would be written outside the project")
    if not (member.isreg() or member.isdir()):
        kind = "a link" if member.issym() or member.islnk() else "neither a file nor a folder"
        yield Finding("critical", "file.not_plain", member.name, 0, f"it is {kind}")
    if member.mode & 0o6000:
        yield Finding("high", "file.setuid", member.name, 0, f"its mode is {member.mode & 0o7777:04o}")
    if path.name.startswith(".") and path.name not in _HARMLESS:
        yield Finding("medium", "file.hidden", member.name, 0, "its name begins with a dot")


def of_content(name: str, content: bytes, names: Collection[str]) -> Iterator[Finding]:
    """Yield what a file's content is; `names` are those of the whole bundle."""
    lower = name.lower()
    for magic, kind in _NATIVE.items():
        if content.startswith(magic):
            yield Finding("high", "binary.native", name, 0, f"it is {kind}")
            return
    if content.startswith(b"MZ") and b"\0" in content[:64]:
        yield Finding("high", "binary.native", name, 0, "it is a Windows program or library")
    elif lower.endswith(_NATIVE_NAMES) or ".so." in PurePosixPath(lower).name:
        yield Finding("high", "binary.native", name, 0, "its name is that of a native library")
    elif lower.endswith((".pyc", ".pyo")):
        yield _bytecode(name, names)
    elif lower.endswith(_PICKLES) or _pickled(content):
        yield Finding("medium", "binary.pickle", name, 0, "it looks like a pickle, which runs code when it is loaded")
    elif not lower.endswith(_ARRAYS):
        kind = next((kind for magic, kind in _ARCHIVES.items() if content.startswith(magic)), "")
        if kind or lower.endswith((".whl", ".egg", ".tar")):
            yield Finding("medium", "binary.archive", name, 0, f"{kind or 'an archive'} file: it was not looked into")


def _pickled(content: bytes) -> bool:
    return content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and content[-1:] == b"."


def _bytecode(name: str, names: Collection[str]) -> Finding:
    path = PurePosixPath(name)
    folder = path.parent.parent if path.parent.name == "__pycache__" else path.parent
    source = str(folder / (path.name.split(".")[0] + ".py"))
    if source in names:
        return Finding("medium", "binary.bytecode", name, 0, f"bytecode beside {source}, which it may not match")
    return Finding("high", "binary.bytecode", name, 0, "bytecode without its source")


def shadowing(names: Collection[str]) -> Iterator[Finding]:
    """Yield modules at the top of the project that would be imported in the place of Python's or the platform's own."""
    for name in names:
        path = PurePosixPath(name)
        module = path.parts[0].removesuffix(".py")
        if path.suffix == ".py" and len(path.parts) <= 2 and (path.name == "__init__.py" or len(path.parts) == 1) \
                and (module in sys.stdlib_module_names or module in _OURS):
            yield Finding("medium", "code.shadows", name, 0, f"it takes the place of the module {module}")
