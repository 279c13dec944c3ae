"""The text of an export: C source of the entry points, C header, C++ wrapper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..ir.types import DTYPES, SIZE

C_TYPE = {
    "b1": "uint8_t",
    "u8": "uint8_t",
    "i8": "int8_t",
    "i16": "int16_t",
    "i32": "int32_t",
    "i64": "int64_t",
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "f32": "float",
    "f64": "double",
}


@dataclass(frozen=True)
class Slot:
    """One input or output: name, dtype code, and sizes as text (numbers, or names of free sizes)."""

    name: str
    dtype: str
    sizes: tuple[str, ...]

    def comment(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(self.sizes)}]"


@dataclass(frozen=True)
class Weight:
    """One tensor that the program holds."""

    name: str
    dtype: str
    sizes: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Interface:
    name: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    weights: tuple[Weight, ...]
    weight_bytes: int
    weights_written: bool
    #: name of the weights' file, or None where they are part of the library
    weights_file: str | None
    #: what the file starts with (length and JSON header)
    file_header: bytes

    @property
    def exported(self) -> list[str]:
        return [f"{self.name}_{f}" for f in ("create", "destroy", "run", "free", "error", "seed", "set_threads")]


def header(i: Interface) -> str:
    """The C header."""
    n, guard = i.name, f"{i.name.upper()}_H"
    n_in, n_out = max(len(i.inputs), 1), max(len(i.outputs), 1)
    ins = "\n".join(f" *   inputs[{k}]  {s.comment()}" for k, s in enumerate(i.inputs))
    outs = "\n".join(f" *   outputs[{k}] {s.comment()}" for k, s in enumerate(i.outputs))
    weights = (
        f"The weights are in {i.weights_file}: give its path to {n}_create."
        if i.weights_file
        else f"The weights are part of the library; {n}_create takes NULL."
    )
    return f"""/* {n}: a program exported by Taeda. Names stand for sizes that are free: one name is one size.
{ins}
{outs}
 * {weights} Link with lib{n}.so. */
#ifndef {guard}
#define {guard}
#include "taeda_rt.h" /* td_tensor, td_status, dtypes */
#ifdef __cplusplus
extern "C" {{
#endif

#define {n.upper()}_INPUTS {len(i.inputs)}
#define {n.upper()}_OUTPUTS {len(i.outputs)}

typedef struct {n}_model {n}_model;

/* NULL on failure: see {n}_error. */
{n}_model *{n}_create(const char *weights_path);
void {n}_destroy({n}_model *model); /* NULL allowed */
/* Fills `outputs`; release each with {n}_free. Inputs are row-major (strides in bytes) and only read.
   Returns 0, or an error code with the text in {n}_error: wrong dtypes, ranks and sizes are refused.
   One model may be used by one thread at a time. */
td_status {n}_run({n}_model *model, const td_tensor inputs[{n_in}], td_tensor outputs[{n_out}]);
void {n}_free(td_tensor *tensor);
const char *{n}_error(void);                        /* of the last failure on this thread */
void {n}_seed({n}_model *model, uint64_t seed);     /* of its random numbers; 0 at the start */
void {n}_set_threads(int count);                    /* >= 1; for the whole library */

#ifdef __cplusplus
}}
#endif
#endif
"""


def _bytes_literal(data: bytes) -> str:
    lines = []
    for k in range(0, len(data), 96):
        chunk = data[k : k + 96]
        lines.append(
            '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in chunk) + '"'
        )
    return "\n    ".join(lines) or '""'


def source(i: Interface) -> str:
    """The C source of the entry points."""
    n = i.name
    table = "\n".join(
        f"    "
        f"{{{w.offset}, {DTYPES.index(w.dtype)}, {len(w.sizes)}, {{{', '.join(map(str, w.sizes)) or '0'}}}}}, "
        f"/* {w.name} */"
        for w in i.weights
    )
    if i.weights_file:
        where = f"""static const char expected_header[] =
    {_bytes_literal(i.file_header)};
enum {{ HEADER_BYTES = {len(i.file_header)} }};

static td_status read_weights(const char *path, char **out) {{
  if (!path) return td_fail(TD_ERR_IO, "{n}_create: give the path of {i.weights_file}");
  FILE *file = fopen(path, "rb");
  if (!file) return td_fail(TD_ERR_IO, "{n}_create: cannot open %s", path);
  td_status status = TD_OK;
  char *head = td_alloc(HEADER_BYTES), *data = td_alloc(WEIGHT_BYTES);
  if (!head || !data) status = td_fail(TD_ERR_MEMORY, "{n}_create: out of memory");
  else if (fread(head, 1, HEADER_BYTES, file) != HEADER_BYTES || memcmp(head, expected_header, HEADER_BYTES) != 0)
    status = td_fail(TD_ERR_IO, "{n}_create: %s does not hold the weights of this program", path);
  else if (fread(data, 1, WEIGHT_BYTES, file) != WEIGHT_BYTES || fgetc(file) != EOF)
    status = td_fail(TD_ERR_IO, "{n}_create: %s is truncated or too long", path);
  fclose(file);
  td_free(head);
  if (status != TD_OK) td_free(data);
  else *out = data;
  return status;
}}
"""
        load = "  char *data = NULL;\n  if (read_weights(weights_path, &data) != TD_OK) return NULL;\n"
        release = "  td_free(model->data);\n"
    else:
        const = "" if i.weights_written else "const "
        where = f"extern {const}char {n}_weights[];\n" if i.weight_bytes else ""
        value = f"(char *){n}_weights" if i.weight_bytes else "NULL"
        load = f"  (void)weights_path;\n  char *data = {value};\n"
        release = ""
    return f"""/* Entry points of the exported program {n}. */
#include "{n}.h"

#include <stdio.h>
#include <string.h>

td_status {n}_program(td_ctx *ctx, const td_tensor *inputs, td_tensor *outputs);

enum {{ WEIGHTS = {len(i.weights)} }};
#define WEIGHT_BYTES {i.weight_bytes}ull
static const struct {{ uint64_t offset; int32_t dtype, ndim; int64_t sizes[8]; }} weight_table[WEIGHTS + 1] = {{
{table}
    {{0, 0, 0, {{0}}}},
}};
{where}
struct {n}_model {{
  td_rng rng;
  char *data;
  td_tensor weights[WEIGHTS + 1];
}};

{n}_model *{n}_create(const char *weights_path) {{
{load}  {n}_model *model = td_alloc(sizeof *model);
  if (!model) {{
    td_fail(TD_ERR_MEMORY, "{n}_create: out of memory");
    return NULL;
  }}
  memset(model, 0, sizeof *model);
  model->data = data;
  for (int k = 0; k < WEIGHTS; ++k) {{
    td_tensor *t = &model->weights[k];
    t->data = data + weight_table[k].offset;
    t->dtype = weight_table[k].dtype;
    t->ndim = weight_table[k].ndim;
    int64_t stride = (int64_t)td_dtype_size((td_dtype)t->dtype);
    for (int d = t->ndim; d-- > 0;) {{
      t->sizes[d] = weight_table[k].sizes[d];
      t->strides[d] = stride;
      stride *= t->sizes[d];
    }}
  }}
  return model;
}}

void {n}_destroy({n}_model *model) {{
  if (!model) return;
{release}  td_free(model);
}}

td_status {n}_run({n}_model *model, const td_tensor *inputs, td_tensor *outputs) {{
  if (!model || (!inputs && {len(i.inputs)}) || (!outputs && {len(i.outputs)}))
    return td_fail(TD_ERR_VALUE, "{n}_run: an argument is NULL");
  td_ctx ctx = {{&model->rng, NULL, model->weights, -1}};
  return {n}_program(&ctx, inputs, outputs);
}}

void {n}_free(td_tensor *tensor) {{
  if (!tensor) return;
  td_free(tensor->owner);
  tensor->owner = NULL;
  tensor->data = NULL;
}}

const char *{n}_error(void) {{ return td_last_error(); }}

void {n}_seed({n}_model *model, uint64_t seed) {{
  model->rng.seed = seed;
  model->rng.offset = 0;
}}

void {n}_set_threads(int count) {{ td_set_num_threads(count < 1 ? 1 : count); }}
"""


def weights_assembly(name: str, file: str, written: bool) -> str:
    """Assembly that makes the weights' bytes a symbol of the library."""
    section = ".data" if written else '.section .rodata,"a"'
    return f"""    {section}
    .balign 64
    .global {name}_weights
{name}_weights:
    .incbin "{file}"
    .byte 0
    .section .note.GNU-stack,"",%progbits
"""


def safetensors_header(weights: Sequence[Weight], total: int) -> bytes:
    """Length and JSON of a safetensors file whose data part is the weights in order."""
    names = {
        "b1": "BOOL",
        "u8": "U8",
        "i8": "I8",
        "i16": "I16",
        "i32": "I32",
        "i64": "I64",
        "f16": "F16",
        "bf16": "BF16",
        "f32": "F32",
        "f64": "F64",
    }
    entries: dict[str, object] = {}
    for w in weights:
        count = SIZE[w.dtype]
        for s in w.sizes:
            count *= s
        entries[w.name] = {
            "dtype": names[w.dtype],
            "shape": list(w.sizes),
            "data_offsets": [w.offset, w.offset + count],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64)
    return len(text).to_bytes(8, "little") + text
