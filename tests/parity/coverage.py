"""The table of what PyTorch's public tensor API has and Taeda has: docs/coverage.md.

    python -m tests.parity.coverage          writes it
    python -m tests.parity.coverage --check  fails if the committed one is another

A name counts as public if its namespace exports it (a public attribute that is a function, class, constant or property)
and no pattern of `differences.OUTSIDE` names it. A parity case is an expression of lines/*.txt or a sample of the operator
table that the suite runs with both libraries; the suite fails if one of them disagrees.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
import types
import warnings
from collections import Counter
from pathlib import Path

import torch
import torch.func

import taeda
import taeda.autograd.functional
import taeda.autograd.graph
import taeda.func
from taeda.ops.table import TABLE

from . import differences

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "coverage.md"

#: Title, PyTorch's namespace, ours, the prefix in differences.
NAMESPACES = (
    ("torch", torch, taeda, "torch"),
    ("torch.Tensor", torch.Tensor, taeda.Tensor, "Tensor"),
    ("torch.nn.functional", torch.nn.functional, taeda.nn.functional, "nn.functional"),
    ("torch.linalg", torch.linalg, taeda.linalg, "linalg"),
    ("torch.fft", torch.fft, taeda.fft, "fft"),
    ("torch.special", torch.special, taeda.special, "special"),
    ("torch.autograd", torch.autograd, taeda.autograd, "autograd"),
    ("torch.autograd.functional", torch.autograd.functional, taeda.autograd.functional, "autograd.functional"),
    (
        "torch.autograd.forward_ad",
        torch.autograd.forward_ad,
        getattr(taeda.autograd, "forward_ad", None),
        "autograd.forward_ad",
    ),
    ("torch.autograd.graph", torch.autograd.graph, taeda.autograd.graph, "autograd.graph"),
    ("torch.func", torch.func, taeda.func, "func"),
)


def _own(module, name: str) -> bool:
    """Whether a name of a module is the module's to give: no helper that it imported."""
    value = getattr(module, name)
    if isinstance(value, types.ModuleType):
        return False
    exported = getattr(module, "__all__", None)
    if exported is not None and module is not torch:
        return name in exported
    home = getattr(value, "__module__", None) or ""
    return not home.startswith(("typing", "collections", "functools", "itertools", "contextlib", "builtins.function"))


def outside(prefix: str, name: str) -> str | None:
    """Why a name is outside of what Taeda sets out to have, or None."""
    full = f"{prefix}.{name}"
    for reason, patterns in differences.OUTSIDE.items():
        if any(fnmatch.fnmatchcase(full, p) for p in patterns):
            return reason
    return None


def public_names(theirs, prefix: str) -> list[str]:
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in dir(theirs):
            if name.startswith("_"):
                continue
            if isinstance(theirs, types.ModuleType) and not _own(theirs, name):
                continue
            if outside(prefix, name) is None:
                found.append(name)
    return sorted(found)


# -- cases ---------------------------------------------------------------------------------------------------------------
_MODULES = {"linalg": "linalg", "fft": "fft", "special": "special", "func": "func", "autograd": "autograd"}


def _of_expression(tree: ast.AST) -> set[str]:
    """The public names that an expression of lines/*.txt uses."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base = node.value
            if isinstance(base, ast.Name) and base.id in ("m", "lib", "torch", "taeda"):
                found.add(f"torch.{node.attr}")
            elif isinstance(base, ast.Name) and base.id == "F":
                found.add(f"nn.functional.{node.attr}")
            elif isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
                inner = base.attr
                if base.value.id in ("m", "lib", "torch", "taeda") and inner in _MODULES:
                    found.add(f"{inner}.{node.attr}")
                elif base.value.id == "nn" or inner == "nn":
                    found.add(f"nn.functional.{node.attr}")
                else:
                    found.add(f"Tensor.{node.attr}")
            elif isinstance(base, ast.Attribute) and base.attr == "functional":
                found.add(f"nn.functional.{node.attr}")
                found.add(f"autograd.functional.{node.attr}")
            elif isinstance(base, ast.Attribute) and base.attr in ("graph", "forward_ad"):
                found.add(f"autograd.{base.attr}.{node.attr}")
            else:
                found.add(f"Tensor.{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "then":
            if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                found.add(f"Tensor.{node.args[1].value}")
        elif isinstance(node, (ast.BinOp, ast.Compare, ast.UnaryOp)):
            found |= {f"Tensor.{_SLOTS[type(op)]}" for op in _operators(node) if type(op) in _SLOTS}
    return found


_SLOTS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.FloorDiv: "floor_divide", ast.Mod: "remainder",
    ast.Pow: "pow", ast.MatMult: "matmul", ast.BitAnd: "bitwise_and", ast.BitOr: "bitwise_or", ast.BitXor: "bitwise_xor",
    ast.LShift: "bitwise_left_shift", ast.RShift: "bitwise_right_shift", ast.Invert: "bitwise_not", ast.USub: "neg",
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip


def _operators(node) -> list:
    return node.ops if isinstance(node, ast.Compare) else [node.op]


def cases() -> Counter:
    """How many parity cases exercise each public name ("torch.add", "Tensor.add_", "nn.functional.relu")."""
    found: Counter = Counter()
    folder = Path(__file__).parent
    for path in sorted(folder.glob("lines/*.txt")):
        for line in path.read_text().splitlines():
            if line and line[0] != "#":
                found.update(_of_expression(ast.parse(line.strip(), mode="eval")))
    for path in (*sorted(folder.glob("test_*.py")), *sorted((ROOT / "tests" / "autograd").glob("test_*.py"))):
        for node in ast.parse(path.read_text()).body:  # a function or a table is a case
            found.update(_of_expression(node))
    for op in TABLE.values():  # what the generated suite compares: by function or by method
        if op.oracle and not op.parent:
            for name in (op.name, *(op.aliases or ())):
                found[f"torch.{name}"] += 1
                if op.method:
                    found[f"Tensor.{name}"] += 1
                if op.traits and op.traits.get("nn"):
                    found[f"nn.functional.{name}"] += 1
    # Methods are their functions, in-place forms write what the function gives: one implementation.
    return found


def _counted(found: Counter, prefix: str, name: str) -> int:
    count = found[f"{prefix}.{name}"]
    if not count and prefix in ("torch", "Tensor", "nn.functional"):
        plain = name.removesuffix("_") if name.endswith("_") else name
        others = {f"{p}.{n}" for p in ("torch", "Tensor", "nn.functional") for n in (name, plain)}
        count = sum(found[o] for o in others if _same_code(prefix, name, o))
    return count


def _same_code(prefix: str, name: str, other: str) -> bool:
    """Whether our two names are one operator (a method and its function, an in-place form and what it writes)."""
    where, _, there = other.rpartition(".")
    spaces = {"torch": taeda, "Tensor": taeda.Tensor, "nn.functional": taeda.nn.functional}
    mine, theirs = getattr(spaces[prefix], name, None), getattr(spaces[where], there, None)
    return (
        mine is not None
        and theirs is not None
        and (mine is theirs or name.removesuffix("_") == there.removesuffix("_"))
    )


# -- the page --------------------------------------------------------------------------------------------------------------
def _wrapped(names) -> str:
    return ", ".join(f"`{n}`" for n in names) or "none"


def page() -> str:
    found = cases()
    lines = [
        "# Coverage of PyTorch's tensor API",
        "",
        "Generated by `python -m tests.parity.coverage` (`make parity` checks it); do not edit. Reasons come from",
        "`tests/parity/differences.py`.",
        "",
        f"Compared with PyTorch {torch.__version__.partition('+')[0]}. *Public* leaves out the groups at the end. *There*: the name exists. *Exercised*: at",
        "least one parity case runs it with both libraries; the suite passes only if all of them agree in values, dtypes,",
        "gradients or exception types. *Different*: on purpose, with the reason below.",
        "",
        "| namespace | public | there | exercised | different | missing |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    details, totals = [], [0] * 5
    for title, theirs, ours, prefix in NAMESPACES:
        names = public_names(theirs, prefix)
        reasons = {n: differences.reason(prefix, n) for n in names}
        different = [n for n in names if reasons[n] and not hasattr(ours, n)]
        there = [n for n in names if hasattr(ours, n)]
        missing = [n for n in names if not hasattr(ours, n) and not reasons[n]]
        idle = [n for n in there if not _counted(found, prefix, n)]
        row = (len(names), len(there), len(there) - len(idle), len(different), len(missing))
        totals = [a + b for a, b in zip(totals, row)]
        lines.append(f"| `{title}` | " + " | ".join(map(str, row)) + " |")
        details.append((title, idle, missing, {n: reasons[n] for n in different}))
    lines.append("| **all** | " + " | ".join(f"**{n}**" for n in totals) + " |")
    lines += [
        "",
        f"Parity cases written as expressions: {_expressions()}; operators of the table with samples or an oracle: {_sampled()}.",
    ]
    lines += ["", "## Missing", ""]
    lines += [f"- `{title}`: {_wrapped(missing)}" for title, _, missing, _ in details if missing] or ["Nothing."]
    lines += ["", "## Different on purpose", "", "| name | reason |", "| --- | --- |"]
    grouped: dict[str, list[str]] = {}
    for title, _, _, different in details:
        for name, reason in different.items():
            grouped.setdefault(reason, []).append(f"{title}.{name}")
    lines += [f"| {_wrapped(names)} | {reason} |" for reason, names in grouped.items()]
    for names, reason in differences.BEHAVIOUR.items():
        lines.append(f"| {_wrapped(names)} | {reason} |")
    lines += ["", "## There, but exercised by unit tests only", ""]
    lines += [f"- `{title}`: {_wrapped(idle)}" for title, idle, _, _ in details if idle] or ["Nothing."]
    lines += ["", "## Left out of the count", "", "| what | why |", "| --- | --- |"]
    lines += [f"| {_wrapped(patterns)} | {reason} |" for reason, patterns in differences.OUTSIDE.items()]
    return "\n".join(lines) + "\n"


def _expressions() -> int:
    texts = [p.read_text() for p in Path(__file__).parent.glob("lines/*.txt")]
    return sum(1 for t in texts for line in t.splitlines() if line and line[0] != "#")


def _sampled() -> int:
    return sum(1 for op in TABLE.values() if (op.samples or op.oracle) and not op.parent)


def missing_total(text: str) -> int:
    """The number of missing names that a page states."""
    row = re.search(r"^\| \*\*all\*\* \|.*\*\*(\d+)\*\* \|$", text, re.M)
    return int(row[1]) if row else -1


def main() -> int:
    text = page()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != text:
            print("docs/coverage.md is not what python -m tests.parity.coverage writes")
            return 1
        return 0
    TARGET.write_text(text)
    print(text.partition("## Missing")[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
