/* Inner loops of indexed access, one pair for each element size (moves) and each element type (sums, products,
   extremes). */
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
#define AND(old, new) (uint8_t)((old) & (new))
#define MUL(old, new) ((old) * (new))
#define MUL_INT(old, new) ((uint64_t)(old) * (new)) /* wraps */
#define MAX(old, new) ((old) > (new) || (old) != (old) ? (old) : (new))
#define MIN(old, new) ((old) < (new) || (old) != (old) ? (old) : (new))
#define HALF(OP, old, new) td_f32_to_f16(OP(td_f16_to_f32(old), td_f16_to_f32(new)))
#define BRAIN(OP, old, new) td_f32_to_bf16(OP(td_bf16_to_f32(old), td_bf16_to_f32(new)))
#define MUL_F16(old, new) HALF(MUL, old, new)
#define MAX_F16(old, new) HALF(MAX, old, new)
#define MIN_F16(old, new) HALF(MIN, old, new)
#define MUL_BF16(old, new) BRAIN(MUL, old, new)
#define MAX_BF16(old, new) BRAIN(MAX, old, new)
#define MIN_BF16(old, new) BRAIN(MIN, old, new)
typedef int8_t td_s1 TD_ELEMENT;
typedef int16_t td_s2 TD_ELEMENT;
typedef int32_t td_s4 TD_ELEMENT;
typedef int64_t td_s8 TD_ELEMENT;
static inline td_c8 mul_c8(td_c8 a, td_c8 b) { return (td_c8){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
static inline td_c16 mul_c16(td_c16 a, td_c16 b) {
  return (td_c16){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
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
DEFINE_MOVER(and1, td_e1, AND)
DEFINE_MOVER(mul1, td_e1, MUL_INT)
DEFINE_MOVER(mul2, td_e2, MUL_INT)
DEFINE_MOVER(mul4, td_e4, MUL_INT)
DEFINE_MOVER(mul8, td_e8, MUL_INT)
DEFINE_MOVER(mul_f16, td_e2, MUL_F16)
DEFINE_MOVER(mul_bf16, td_e2, MUL_BF16)
DEFINE_MOVER(mul_f32, td_f4, MUL)
DEFINE_MOVER(mul_f64, td_f8, MUL)
DEFINE_MOVER(mul_c64, td_c8, mul_c8)
DEFINE_MOVER(mul_c128, td_c16, mul_c16)
DEFINE_MOVER(max_u8, td_e1, MAX)
DEFINE_MOVER(max_i8, td_s1, MAX)
DEFINE_MOVER(max_i16, td_s2, MAX)
DEFINE_MOVER(max_i32, td_s4, MAX)
DEFINE_MOVER(max_i64, td_s8, MAX)
DEFINE_MOVER(max_f16, td_e2, MAX_F16)
DEFINE_MOVER(max_bf16, td_e2, MAX_BF16)
DEFINE_MOVER(max_f32, td_f4, MAX)
DEFINE_MOVER(max_f64, td_f8, MAX)
DEFINE_MOVER(min_u8, td_e1, MIN)
DEFINE_MOVER(min_i8, td_s1, MIN)
DEFINE_MOVER(min_i16, td_s2, MIN)
DEFINE_MOVER(min_i32, td_s4, MIN)
DEFINE_MOVER(min_i64, td_s8, MIN)
DEFINE_MOVER(min_f16, td_e2, MIN_F16)
DEFINE_MOVER(min_bf16, td_e2, MIN_BF16)
DEFINE_MOVER(min_f32, td_f4, MIN)
DEFINE_MOVER(min_f64, td_f8, MIN)

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

const td_mover *td_mover_combine(td_dtype dtype, int mode) {
  static const td_mover *const movers[][TD_NUM_DTYPES] = {
      [TD_SCATTER_ADD] = {[TD_BOOL] = &mover_or1,
                          [TD_U8] = &mover_add1,
                          [TD_I8] = &mover_add1,
                          [TD_I16] = &mover_add2,
                          [TD_I32] = &mover_add4,
                          [TD_I64] = &mover_add8,
                          [TD_F16] = &mover_add_f16,
                          [TD_BF16] = &mover_add_bf16,
                          [TD_F32] = &mover_add_f32,
                          [TD_F64] = &mover_add_f64,
                          [TD_C64] = &mover_add_c64,
                          [TD_C128] = &mover_add_c128},
      [TD_SCATTER_MUL] = {[TD_BOOL] = &mover_and1,
                          [TD_U8] = &mover_mul1,
                          [TD_I8] = &mover_mul1,
                          [TD_I16] = &mover_mul2,
                          [TD_I32] = &mover_mul4,
                          [TD_I64] = &mover_mul8,
                          [TD_F16] = &mover_mul_f16,
                          [TD_BF16] = &mover_mul_bf16,
                          [TD_F32] = &mover_mul_f32,
                          [TD_F64] = &mover_mul_f64,
                          [TD_C64] = &mover_mul_c64,
                          [TD_C128] = &mover_mul_c128},
      [TD_SCATTER_MAX] = {[TD_BOOL] = &mover_or1,
                          [TD_U8] = &mover_max_u8,
                          [TD_I8] = &mover_max_i8,
                          [TD_I16] = &mover_max_i16,
                          [TD_I32] = &mover_max_i32,
                          [TD_I64] = &mover_max_i64,
                          [TD_F16] = &mover_max_f16,
                          [TD_BF16] = &mover_max_bf16,
                          [TD_F32] = &mover_max_f32,
                          [TD_F64] = &mover_max_f64},
      [TD_SCATTER_MIN] = {[TD_BOOL] = &mover_and1,
                          [TD_U8] = &mover_min_u8,
                          [TD_I8] = &mover_min_i8,
                          [TD_I16] = &mover_min_i16,
                          [TD_I32] = &mover_min_i32,
                          [TD_I64] = &mover_min_i64,
                          [TD_F16] = &mover_min_f16,
                          [TD_BF16] = &mover_min_bf16,
                          [TD_F32] = &mover_min_f32,
                          [TD_F64] = &mover_min_f64},
  };
  if (mode < TD_SCATTER_ADD || mode > TD_SCATTER_MIN || (unsigned)dtype >= TD_NUM_DTYPES) return NULL;
  return movers[mode][dtype];
}
