"""What operators of linear algebra ask of their arguments."""

from __future__ import annotations

from .namespace import F

_NAMES = {"f16": "Half", "bf16": "BFloat16", "b1": "Bool", "u8": "Byte", "i8": "Char", "i16": "Short", "i32": "Int"}
_NAMES |= {"i64": "Long", "f32": "Float", "f64": "Double", "c64": "ComplexFloat", "c128": "ComplexDouble"}


def dtype_name(t) -> str:
    return _NAMES[t.dtype.code]


def check_tensor(name: str, t, arg: str = "A") -> None:
    if not isinstance(t, F.Tensor):
        raise TypeError(f"{name}(): argument '{arg}' must be Tensor, not {type(t).__name__}")


def check_field(name: str, t, arg: str = "A") -> None:
    """float32, float64 or complex."""
    check_tensor(name, t, arg)
    if t.dtype in (F.float16, F.bfloat16):
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {dtype_name(t)}")
    if not (t.is_floating_point() or t.is_complex()):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtype_name(t)}")


def check_matrix(name: str, t, arg: str = "A") -> None:
    check_field(name, t, arg)
    if t.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor {arg} must have at least 2 dimensions, got {t.dim()}.")


def check_square(name: str, t, arg: str = "A") -> None:
    check_matrix(name, t, arg)
    if t.shape[-1] != t.shape[-2]:
        raise RuntimeError(
            f"{name}: {arg} must be batches of square matrices, but they are {t.shape[-2]} by {t.shape[-1]} matrices"
        )


def check_same_dtype(name: str, a, b, first: str = "A", second: str = "B") -> None:
    check_tensor(name, b, second)
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected {first} and {second} to have the same dtype, but found {first} of type {dtype_name(a)} and "
            f"{second} of type {dtype_name(b)} instead"
        )


def batch_shape(name: str, a, b) -> tuple:
    """The broadcast shape of two sequences of batch sizes."""
    found: list = []
    for k in range(1, max(len(a), len(b)) + 1):
        x = a[-k] if k <= len(a) else 1
        y = b[-k] if k <= len(b) else 1
        if x != y and x != 1 and y != 1:
            raise RuntimeError(
                f"{name}: The batch dimensions of the arguments do not broadcast: {list(a)} and {list(b)}"
            )
        found.append(y if x == 1 else x)
    return tuple(reversed(found))


def broadcast_batches(name: str, a, b) -> tuple:
    """Two matrices (or more dimensions) with their batch dimensions made equal."""
    if a.shape[:-2] == b.shape[:-2]:
        return a, b
    batch = batch_shape(name, a.shape[:-2], b.shape[:-2])
    return F.expand(a, (*batch, *a.shape[-2:])), F.expand(b, (*batch, *b.shape[-2:]))


def is_vector_side(A, B) -> bool:
    """Whether B is a vector, or a batch of vectors, beside the matrices A."""
    return B.dim() == 1 or (A.dim() - 1 == B.dim() and tuple(A.shape[:-1]) == tuple(B.shape))
