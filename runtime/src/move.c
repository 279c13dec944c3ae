/* Inner loops of indexed access, one pair for each element size (moves) and each element type (adds). */
#include "move.h"

#include "elements.h"
#include "half.h"

#define DEFINE_MOVER(NAME, TYPE, OP)                                                                                   \
  static void points_##NAME(char *const *to, char *const *from, int64_t count, int64_t to_offset,                      \
                            int64_t from_offset) {                                                                     \
    for (int64_t i = 0; i < count; ++i) {                                                                              \
      TYPE *t = (TYPE *)(to[i] + to_offset);                                                                           \
      const TYPE *f = (const TYPE *)(from[i] + from_offset);                                                           \
      *t = OP(*t, *f);                                                                                                 \
    }                                                                                                                  \
  }                                                                                                                    \
  static void row_##NAME(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n) {              \
    if (to_stride == (int64_t)sizeof(TYPE) && from_stride == (int64_t)sizeof(TYPE)) {                                  \
      TYPE *restrict t = (TYPE *)to;                                                                                   \
      const TYPE *restrict f = (const TYPE *)from;                                                                     \
      for (int64_t i = 0; i < n; ++i) t[i] = OP(t[i], f[i]);                                                           \
    } else {                                                                                                           \
      for (int64_t i = 0; i < n; ++i, to += to_stride, from += from_stride)                                            \
        *(TYPE *)to = OP(*(TYPE *)to, *(const TYPE *)from);                                                            \
    }                                                                                                                  \
  }                                                                                                                    \
  static const td_mover mover_##NAME = {points_##NAME, row_##NAME};

typedef struct {
  float re, im;
} TD_ELEMENT td_c8;
typedef struct {
  double re, im;
} TD_ELEMENT td_c16;

#define SET(old, new) (new)
#define OR(old, new) (uint8_t)((old) | (new))
#define ADD(old, new) ((old) + (new)) /* integers are unsigned here: they wrap */
#define ADD_F16(old, new) td_f32_to_f16(td_f16_to_f32(old) + td_f16_to_f32(new))
#define ADD_BF16(old, new) td_f32_to_bf16(td_bf16_to_f32(old) + td_bf16_to_f32(new))
static inline td_c8 add_c8(td_c8 a, td_c8 b) { return (td_c8){a.re + b.re, a.im + b.im}; }
static inline td_c16 add_c16(td_c16 a, td_c16 b) { return (td_c16){a.re + b.re, a.im + b.im}; }

DEFINE_MOVER(set1, td_e1, SET)
DEFINE_MOVER(set2, td_e2, SET)
DEFINE_MOVER(set4, td_e4, SET)
DEFINE_MOVER(set8, td_e8, SET)
DEFINE_MOVER(set16, td_e16, SET)
DEFINE_MOVER(or1, td_e1, OR)
DEFINE_MOVER(add1, td_e1, ADD)
DEFINE_MOVER(add2, td_e2, ADD)
DEFINE_MOVER(add4, td_e4, ADD)
DEFINE_MOVER(add8, td_e8, ADD)
DEFINE_MOVER(add_f16, td_e2, ADD_F16)
DEFINE_MOVER(add_bf16, td_e2, ADD_BF16)
DEFINE_MOVER(add_f32, td_f4, ADD)
DEFINE_MOVER(add_f64, td_f8, ADD)
DEFINE_MOVER(add_c64, td_c8, add_c8)
DEFINE_MOVER(add_c128, td_c16, add_c16)

const td_mover *td_mover_set(size_t elem_size) {
  switch (elem_size) {
  case 1:
    return &mover_set1;
  case 2:
    return &mover_set2;
  case 4:
    return &mover_set4;
  case 8:
    return &mover_set8;
  case 16:
    return &mover_set16;
  default:
    return NULL;
  }
}

const td_mover *td_mover_add(td_dtype dtype) {
  static const td_mover *const movers[TD_NUM_DTYPES] = {
      [TD_BOOL] = &mover_or1,    [TD_U8] = &mover_add1,     [TD_I8] = &mover_add1,     [TD_I16] = &mover_add2,
      [TD_I32] = &mover_add4,    [TD_I64] = &mover_add8,    [TD_F16] = &mover_add_f16, [TD_BF16] = &mover_add_bf16,
      [TD_F32] = &mover_add_f32, [TD_F64] = &mover_add_f64, [TD_C64] = &mover_add_c64, [TD_C128] = &mover_add_c128};
  return (unsigned)dtype < TD_NUM_DTYPES ? movers[dtype] : NULL;
}
