"""Expressions to machine code: loop nests as LLVM IR text, one small record of facts per target.

Needs llvmlite, not the core.
"""
