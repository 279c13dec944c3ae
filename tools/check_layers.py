"""Fails when an import points against the layers of the design.

Order: ops -> ir/capture -> passes -> codegen -> execute -> export; user rooms (nn, optim, ...) use the public tensor API.
A room may import itself and what its row below allows; `taeda._core` only where listed. Imports inside functions count too.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "taeda"
#: room -> rooms it may import ("core": the extension, "public": `import taeda` / `from taeda import ...`)
ALLOWED = {
    "ops": {"codegen.spec"},  # kernel specifications are the shared vocabulary of ops and codegen
    "ir": {"ops"},
    "passes": {"ir", "ops", "codegen.spec"},
    "codegen": {"ir", "ops", "passes"},
    "capture": {"ir", "ops", "core", "public", "utils"},
    "execute": {"codegen", "capture", "ir", "ops", "passes", "core", "public", "autograd", "utils"},
    "export": {"execute", "codegen", "capture", "ir", "ops", "passes", "core", "public", "utils"},
    "jit": {"execute", "capture", "ir", "passes", "codegen", "ops", "core", "public", "utils"},
    "autograd": {"core", "public", "utils", "ops.namespace"},  # functional forms call operators
    "func": {"core", "public", "autograd", "utils", "ops", "nn"},  # rules by kind, read off the operator table
    "nn": {"core", "public", "autograd", "utils", "ops"},  # nn.functional is read off the operator table
    "optim": {"core", "public", "nn", "utils"},
    "data": {"core", "public", "utils"},
    "array_api": {"core", "public"},
    "special": {"public", "ops"},
    "linalg": {"core", "public", "ops"},
    "fft": {"core", "public"},
    "utils": {"core", "public", "autograd", "data"},
}


def imported_modules(path: Path):
    package = ["taeda", *path.relative_to(ROOT).with_suffix("").parts][:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                module = ".".join(base + ([node.module] if node.module else []))
            else:
                module = node.module or ""
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def main() -> int:
    bad = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if len(parts) == 1 or parts[0] not in ALLOWED:
            continue
        room = parts[0]
        for line, name in imported_modules(path):
            if not name.startswith("taeda"):
                if name.split(".")[0] in ("torch", "tensorflow", "jax"):
                    bad.append(f"{path}:{line}: the package must not import {name}")
                continue
            target = name.split(".")[1:]
            if not target:
                target_room = "public"
            elif target[0] == "_core":
                target_room = "core"
            elif target[0] in ALLOWED:
                target_room = target[0]
            else:
                target_room = "public"
            if target_room == room or target_room in ALLOWED[room] or ".".join(target[:2]) in ALLOWED[room]:
                continue
            bad.append(f"{path.relative_to(ROOT.parent)}:{line}: '{room}' must not import '{name}'")
    print("\n".join(bad) or "import directions are as the layers allow")
    return 1 if bad else 0


sys.exit(main())
