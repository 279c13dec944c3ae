"""The typed SSA graph that captured programs are made of. Pure Python; imports nothing of the core."""

from .graph import Block, Graph, Node, Symbol, Value, replace_uses
from .sym import Relation, Sym, as_sym, symbol
from .text import ParseError, parse, print_graph
from .types import BOOL, FLOAT, INT, ScalarType, TensorType, Type, tensor
from .verify import VerifyError, verify

__all__ = [
    "BOOL",
    "FLOAT",
    "INT",
    "Block",
    "Graph",
    "Node",
    "ParseError",
    "Relation",
    "ScalarType",
    "Sym",
    "Symbol",
    "TensorType",
    "Type",
    "Value",
    "VerifyError",
    "as_sym",
    "parse",
    "print_graph",
    "replace_uses",
    "symbol",
    "tensor",
    "verify",
]
