"""The IR's text form: `parse(print_graph(g))` gives `g` back.

    graph step(%x: f32[s0, 784], %w: f32[10, 784]) {
      size s0 = %x 0 hint 64 guard s0 <= 4096 %0: f32[s0, 10] = contract linear(%x, %w) {} at "train.py":12 return %0,
      %w2 -> 1
    }

`-> 1`: that value is written back to input 1.
"""

from __future__ import annotations

import math
import re

from . import sym as S
from .graph import Block, Graph, Node, Symbol, Value
from .types import SCALARS, TensorType, Type, tensor


class ParseError(ValueError):
    """Text that is no graph; the message names the line."""


# -- printing ----------------------------------------------------------------------------------------------------------
def _attribute(value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, S.Sym):
        return f"<{value}>"
    if isinstance(value, float):
        return value.hex() if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(_attribute, value)) + ("," if len(value) == 1 else "") + ")"
    raise TypeError(f"attribute of type {type(value).__name__} has no text form")


def print_graph(graph: Graph) -> str:
    names: dict[Value, str] = {}
    used: set[str] = set()

    def name(v: Value) -> str:
        if v not in names:
            wanted = v.name if v.name and v.name not in used else ""
            if not wanted:
                number = len(names)
                while str(number) in used:
                    number += 1
                wanted = str(number)
            used.add(wanted)
            names[v] = wanted
        return "%" + names[v]

    lines = [f"graph {graph.name}({', '.join(f'{name(v)}: {v.type}' for v in graph.inputs)}) {{"]
    lines += [f"  size {s.name} = {name(graph.inputs[s.input])} {s.dim} hint {s.hint}" for s in graph.symbols.values()]
    lines += [f"  guard {g}" for g in graph.guards]

    def body(block: Block, indent: str) -> None:
        for n in block.nodes:
            outs = ", ".join(f"{name(v)}: {v.type}" for v in n.outputs)
            attrs = ", ".join(f"{k}={_attribute(a)}" for k, a in n.attrs.items())
            where = f" at {_attribute(n.location[0])}:{n.location[1]}" if n.location else ""
            lines.append(
                f"{indent}{outs}{' = ' if outs else ''}{n.kind} {n.op}({', '.join(map(name, n.inputs))}) "
                f"{{{attrs}}}{where}"
            )
            for b in n.blocks:
                lines.append(f"{indent}block ({', '.join(f'{name(v)}: {v.type}' for v in b.params)}) {{")
                body(b, indent + "  ")
                lines.append(f"{indent}}}")
        writes = graph.writes if block is graph.block else []
        texts = [
            name(v) + (f" -> {writes[k]}" if k < len(writes) and writes[k] is not None else "")
            for k, v in enumerate(block.returns)
        ]
        lines.append(f"{indent}return {', '.join(texts)}".rstrip())

    body(graph.block, "  ")
    lines.append("}")
    return "\n".join(lines)


# -- parsing -----------------------------------------------------------------------------------------------------------
_TOKEN = re.compile(
    r'\s*(?:(->)|(%[\w.]+)|("(?:[^"\\]|\\.)*")|(<[^<>]*>)|(-?0x[0-9a-fA-F.]+p[+-]?\d+|-?inf|nan|-?\d+)|([\w.]+)|(.))'
)


class _Line:
    """Tokens of one line with one of lookahead."""

    def __init__(self, text: str, number: int):
        self.number = number
        self.tokens = ["".join(t) for t in _TOKEN.findall(text.rstrip())]
        self.at = 0

    def fail(self, wanted: str) -> ParseError:
        return ParseError(f"line {self.number}: expected {wanted}, got {self.peek() or 'the end of the line'!r}")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def accept(self, token: str) -> bool:
        if self.peek() == token:
            self.at += 1
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.fail(repr(token))

    def integer(self) -> int:
        try:
            return int(self.next())
        except ValueError:
            self.at -= 1
            raise self.fail("a number") from None

    def type(self) -> Type:
        word = self.next()
        if word in SCALARS:
            return SCALARS[word]
        if not self.accept("["):
            raise self.fail("a type")
        depth, text, sizes = 0, "", []
        while True:
            token = self.next()
            if not token:
                raise self.fail("']'")
            if token == "]":
                break
            depth += (token == "(") - (token == ")")
            if token == "," and not depth:
                sizes.append(text)
                text = ""
            else:
                text += f" {token}"
        if text:
            sizes.append(text)
        try:
            return tensor(word, *map(S.parse, sizes))
        except ValueError as e:
            raise ParseError(f"line {self.number}: {e}") from None

    def attribute(self):
        token = self.next()
        if token in ("none", "true", "false"):
            return {"none": None, "true": True, "false": False}[token]
        if token.startswith('"'):
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if token.startswith("<"):
            return S.parse(token[1:-1])
        if token == "(":
            items = []
            while not self.accept(")"):
                items.append(self.attribute())
                if not self.accept(",") and self.peek() != ")":
                    raise self.fail("',' or ')'")
            return tuple(items)
        if token in ("inf", "-inf", "nan") or "x" in token:
            return float(token) if "x" not in token else float.fromhex(token)
        try:
            return int(token)
        except ValueError:
            self.at -= 1
            raise self.fail("an attribute") from None


def parse(text: str) -> Graph:
    """The graph that `print_graph` wrote."""
    lines = [_Line(t, k) for k, t in enumerate(text.splitlines(), 1) if t.strip()]
    if not lines:
        raise ParseError("no text")
    values: dict[str, Value] = {}
    position = 0

    def value(line: _Line) -> Value:
        token = line.next()
        if token not in values:
            line.at -= 1
            raise line.fail("a value defined above")
        return values[token]

    def typed(line: _Line) -> tuple[str, Type]:
        token = line.next()
        if not token.startswith("%"):
            line.at -= 1
            raise line.fail("a value name")
        if token in values:
            raise ParseError(f"line {line.number}: {token} is defined twice")
        line.expect(":")
        return token, line.type()

    def named(token: str) -> str:
        return "" if token[1:].isdigit() else token[1:]

    def params(line: _Line, block: Block) -> None:
        line.expect("(")
        while not line.accept(")"):
            token, t = typed(line)
            v = Value(t, named(token))
            values[token] = v
            block.params.append(v)
            if not line.accept(",") and line.peek() != ")":
                raise line.fail("',' or ')'")
        line.expect("{")

    def body(block: Block) -> None:
        nonlocal position
        while position < len(lines):
            line = lines[position]
            position += 1
            if line.accept("}"):
                return
            if line.accept("size"):
                symbol = line.next()
                line.expect("=")
                where = graph.inputs.index(value(line))
                dim = line.integer()
                line.expect("hint")
                graph.symbols[symbol] = Symbol(symbol, where, dim, line.integer())
            elif line.accept("guard"):
                rest = " ".join(line.tokens[line.at :])
                graph.guards.append(
                    S.parse_relation(rest.replace("= =", "==").replace("! =", "!=").replace("< =", "<="))
                )
            elif line.accept("block"):
                inner = Block()
                params(line, inner)
                body(inner)
                block.nodes[-1].blocks.append(inner)
            elif line.accept("return"):
                while line.peek():
                    block.returns.append(value(line))
                    if block is graph.block:
                        graph.writes.append(line.integer() if line.accept("->") else None)
                    line.accept(",")
            else:
                block.nodes.append(node(line))
        raise ParseError("the text ends inside a block")

    def node(line: _Line) -> Node:
        outs: list[tuple[str, Type]] = []
        if line.peek().startswith("%"):
            outs.append(typed(line))
            while line.accept(","):
                outs.append(typed(line))
            line.expect("=")
        kind, op = line.next(), line.next()
        line.expect("(")
        inputs = []
        while not line.accept(")"):
            inputs.append(value(line))
            if not line.accept(",") and line.peek() != ")":
                raise line.fail("',' or ')'")
        line.expect("{")
        attrs = {}
        while not line.accept("}"):
            key = line.next()
            line.expect("=")
            attrs[key] = line.attribute()
            if not line.accept(",") and line.peek() != "}":
                raise line.fail("',' or '}'")
        location = None
        if line.accept("at"):
            file = line.attribute()
            line.expect(":")
            location = (file, line.integer())
        n = Node(kind, op, inputs, [t for _, t in outs], attrs, location)
        for (token, _), v in zip(outs, n.outputs):
            v.name = named(token)
            values[token] = v
        return n

    head = lines[position]
    position += 1
    head.expect("graph")
    graph = Graph(head.next())
    params(head, graph.block)
    body(graph.block)
    return graph


__all__ = ["ParseError", "TensorType", "parse", "print_graph"]
