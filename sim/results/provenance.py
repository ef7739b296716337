"""Provenance of a result beyond its question: library versions, source digests.

A digest is SHA-256 over the names and texts of source files, ignoring line endings. Equal digests
mean equal code; different ones need not mean different results. Files read at run time (weights,
tables) and modules imported by computed names are not covered.
"""

import ast
import hashlib
import importlib.util
import json
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
ASIDE: Final = ("cli", "report", "shipped")  # presentation; scenarios have their own digests
LIBRARIES: Final = (
    "hashwatt", "numpy", "numba", "llvmlite", "scipy", "highspy", "simpy", "networkx", "pyarrow",
    "pydantic",
)  # fmt: skip


@cache
def versions() -> dict[str, str]:
    """Python's version and those of every library that computes or writes a result."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # used from a source folder, not installed
            found[name] = "unknown"
    return found


@cache
def sim_sha256() -> str:
    """Digest of all sources and catalogues of `sim` except the packages in ASIDE."""
    files = (f for pattern in ("*.py", "*.csv") for f in ROOT.rglob(pattern))
    named = {f.relative_to(ROOT).as_posix(): f for f in files}
    return _digest((n, f) for n, f in named.items() if n.split("/")[0] not in ASIDE)


def provenance(policy: type | None = None) -> dict[str, Any]:
    """The part of a manifest, and of a key, besides the question."""
    code = {"sim": sim_sha256(), "policy": "" if policy is None else policy_sha256(policy)}
    return {"versions": versions(), "sources_sha256": code}


def differences(a: dict[str, Any], b: dict[str, Any]) -> str:
    """How two provenances differ, in words; `a` is the older or foreign one."""
    va, vb = a.get("versions") or {}, b["versions"]
    told = [
        f"{name} {va.get(name, 'unknown')} instead of {vb[name]}"
        for name in vb
        if va.get(name) != vb[name]
    ]
    ca, cb = a.get("sources_sha256") or {}, b["sources_sha256"]
    told += ["other sources of hashwatt"] if ca.get("sim") != cb["sim"] else []
    told += ["other sources of the policy"] if ca.get("policy") != cb["policy"] else []
    return ", ".join(told)


def asked_sha256(
    scenario_sha256: str, policy: str, parameters: dict[str, Any], seed: int, **more: Any
) -> str:
    """Hash of a question: a resolved scenario, a policy with its parameters, a seed."""
    return sha256_of(
        scenario=scenario_sha256, policy=policy, parameters=parameters, seed=seed, **more
    )


def sha256_of(**content: Any) -> str:
    """Hash of plain values by name."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def policy_sha256(policy: type) -> str:
    """Digest of a policy's module and of the author's modules it imports.

    Of a package, only imported modules count. The standard library, installed packages and `sim`
    are left out: versions and the digest of `sim` cover them.
    """
    if policy.__module__.partition(".")[0] == "sim":
        return sim_sha256()
    module = sys.modules.get(policy.__module__)
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():  # defined in an interpreter
        return hashlib.sha256("\n".join(_compiled(policy)).encode()).hexdigest()
    found: dict[str, Path] = {}
    own = policy.__module__.replace("__mp_main__", "__main__")  # its name in spawned workers
    _follow(own, Path(file), found)
    return _digest((name, f) for name, f in found.items())


def _follow(name: str, file: Path, found: dict[str, Path]) -> None:
    """Collect a module and, recursively, its imports by the same author."""
    if name in found:
        return
    found[name] = file
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return  # counts as text, imports unknown
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for imported in sorted(set(_imports(tree, package))):
        origin = _authored(imported)
        if origin is not None:
            _follow(imported, origin, found)


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)]
            base = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:  # importing a.b also runs a
            parts = name.split(".")
            yield from (".".join(parts[: k + 1]) for k in range(len(parts)))


def _authored(name: str) -> Path | None:
    """File of a module outside Python, `sim` and installed packages, else None."""
    top = name.partition(".")[0]
    if not name or top == "sim" or top in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None  # a function imported from a module is not a module
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    installed = {sysconfig.get_path(key) for key in ("purelib", "platlib", "stdlib")}
    file = Path(spec.origin)
    return None if any(file.is_relative_to(folder) for folder in installed) else file


def _compiled(policy: type) -> Iterator[str]:
    """Methods of a class without a source file, as text that identifies the class."""
    for base in policy.__mro__:
        for name, value in sorted(vars(base).items()):
            code = getattr(getattr(value, "__func__", value), "__code__", None)
            if code is not None:
                yield f"{base.__qualname__}.{name}: {_told(code)}"


def _told(code: CodeType) -> str:
    constants = [_told(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _digest(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files):
        text = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()
