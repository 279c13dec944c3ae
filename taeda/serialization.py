"""save and load: nested state in one safetensors file.

A flat dict of tensors becomes an ordinary safetensors file that any reader of the format opens. Other nested state (optimizer state
dicts, lists, numbers, strings) keeps its structure as JSON in the file's metadata, its tensors under generated names. Every tensor's
CRC-32 is stored, and checked when the file is read.
"""

from __future__ import annotations

import ctypes
import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

import taeda
from taeda import Tensor, _core

from .utils.files import write_atomically

_FORMAT_NAMES = {
    "bool": "bool", "uint8": "uint8", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "float16": "float16",
    "bfloat16": "bfloat16", "float32": "float32", "float64": "float64",
}  # fmt: skip
_FROM_CODE = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64",
}  # fmt: skip
_STRUCTURE, _CHECKSUMS = "taeda.structure", "taeda.crc32"


def _dtype_name(t: Tensor) -> str:
    return str(t.dtype).rpartition(".")[2]


class _Packer:
    """Takes nested state apart into named tensors and a JSON-able skeleton."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def pack(self, value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            name = path or "tensor"
            self.tensors[name] = value.detach()
            return {"t": name}
        if value is None or isinstance(value, (bool, int, str)):
            return {"v": value}
        if isinstance(value, float):
            return {"f": value.hex()}
        if isinstance(value, taeda.dtype):
            return {"d": str(value).rpartition(".")[2]}
        if isinstance(value, Mapping):
            items = []
            for key, item in value.items():
                if not isinstance(key, (str, int, bool, float, type(None))):
                    raise TypeError(
                        f"save(): dict keys must be str, int, float, bool or None, got {type(key).__name__} at '{path}'"
                    )
                items.append([self.pack(key, path), self.pack(item, f"{path}.{key}" if path else str(key))])
            return {"m": items}
        if isinstance(value, (list, tuple)):
            items = [self.pack(item, f"{path}.{i}" if path else str(i)) for i, item in enumerate(value)]
            return {"l" if isinstance(value, list) else "u": items}
        raise TypeError(
            f"save(): cannot save {type(value).__name__} at '{path or 'the top'}'; expected tensors, numbers, strings, None, dicts, lists, tuples"
        )


def _unpack(node: Any, tensors: dict[str, Tensor]) -> Any:
    ((kind, value),) = node.items()
    if kind == "t":
        if value not in tensors:
            raise RuntimeError(f"load(): the file lacks tensor '{value}' that its structure names")
        return tensors[value]
    if kind == "v":
        return value
    if kind == "f":
        return float.fromhex(value)
    if kind == "d":
        found = getattr(taeda, value)
        if not isinstance(found, taeda.dtype):
            raise TypeError(f"{value} is no dtype")
        return found
    if kind == "m":
        return {_unpack(k, tensors): _unpack(v, tensors) for k, v in value}
    if kind == "l":
        return [_unpack(v, tensors) for v in value]
    if kind == "u":
        return tuple(_unpack(v, tensors) for v in value)
    raise ValueError(f"unknown record {kind!r}")


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Writes tensors and nested state as safetensors.

    f: a path (written to a temporary name, synced and renamed) or a binary file. Errors: TypeError for values that are not state,
    OSError when the disk is full; the previous file then stays untouched.
    """
    from safetensors import TensorSpec, serialize

    flat = (
        isinstance(obj, Mapping)
        and bool(obj)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items())
    )
    packer = _Packer()
    metadata: dict[str, str] = {"format": "taeda"}
    if flat:
        packer.tensors = {k: v.detach() for k, v in obj.items()}
    else:
        metadata[_STRUCTURE] = json.dumps(packer.pack(obj, ""))
    specs: dict[str, Any] = {}
    checksums = {}
    kept = []  # the specs hold addresses: their tensors must outlive serialize()
    for name, tensor in packer.tensors.items():
        dtype = _dtype_name(tensor)
        if dtype not in _FORMAT_NAMES:
            raise TypeError(f"save(): tensor '{name}' has dtype {dtype}, which safetensors files cannot hold")
        tensor = tensor.contiguous()
        kept.append(tensor)
        size = tensor.numel() * tensor.element_size()
        checksums[name] = zlib.crc32((ctypes.c_char * size).from_address(tensor.data_ptr())) if size else 0
        specs[name] = TensorSpec(
            dtype=_FORMAT_NAMES[dtype], shape=list(tensor.shape), data_ptr=tensor.data_ptr(), data_len=size
        )
    metadata[_CHECKSUMS] = json.dumps(checksums)
    content = serialize(specs, metadata)
    if hasattr(f, "write"):
        f.write(content)
    else:
        write_atomically(f, lambda file: file.write(content))


def _read(f: str | os.PathLike[str] | BinaryIO) -> tuple[bytes, str]:
    if hasattr(f, "read"):
        return f.read(), getattr(f, "name", "the file")
    with open(f, "rb") as file:
        return file.read(), os.fspath(f)


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return found if isinstance(found, dict) else {}


def load(f: str | os.PathLike[str] | BinaryIO, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Reads what `save` wrote, or any safetensors file (as a dict of tensors in file order).

    Errors: FileNotFoundError; RuntimeError when the file is truncated, altered or not of the format. `map_location` may name the CPU
    only; `weights_only` is accepted for compatibility: no code is ever run.
    """
    from safetensors import SafetensorError, deserialize

    if map_location is not None:
        taeda.device(map_location)
    content, name = _read(f)
    try:
        entries = deserialize(content)
        metadata = _metadata(content)
        checksums = json.loads(metadata.get(_CHECKSUMS, "{}"))
        structure = json.loads(metadata[_STRUCTURE]) if _STRUCTURE in metadata else None
        if not isinstance(checksums, dict):
            raise ValueError("its checksums are no table")
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RuntimeError(
            f"load(): '{name}' is not a readable safetensors file (truncated, altered or of another format): {error}"
        ) from None
    tensors: dict[str, Tensor] = OrderedDict()
    for key, entry in entries:
        code = str(entry["dtype"])
        if code not in _FROM_CODE:
            raise RuntimeError(f"load(): tensor '{key}' in '{name}' has dtype {code}, which is not supported")
        data = entry["data"]
        if key in checksums and zlib.crc32(data) != checksums[key]:
            raise RuntimeError(f"load(): tensor '{key}' in '{name}' is damaged: its checksum does not match")
        tensors[key] = _core.from_bytes(data, getattr(taeda, _FROM_CODE[code]), tuple(entry["shape"]))
    if structure is None:
        return tensors
    try:
        return _unpack(structure, tensors)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RuntimeError(f"load(): the structure record of '{name}' is damaged: {error}") from None
