/* float16 and bfloat16 to float32 and back, rounding to nearest even, in plain integer code (no target feature needed).
 */
#ifndef TAEDA_RT_HALF_H
#define TAEDA_RT_HALF_H
#include <stdint.h>
#include <string.h>

static inline uint32_t td_float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline float td_float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline float td_bf16_to_f32(uint16_t h) { return td_float_of((uint32_t)h << 16); }
static inline uint16_t td_f32_to_bf16(float x) {
  uint32_t bits = td_float_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u); /* a quiet NaN */
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float td_f16_to_f32(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
  if (exponent == 31u) return td_float_of(sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0u));
  if (exponent == 0u) {
    float x = (float)mantissa * 0x1p-24f;
    return sign ? -x : x;
  }
  return td_float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}
static inline uint16_t td_f32_to_f16(float x) {
  uint32_t bits = td_float_bits(x), sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits >= 0x47800000u) /* 65536 and more, infinity, NaN */
    return (uint16_t)(sign | (bits > 0x7f800000u ? 0x7e00u | ((bits >> 13) & 0x3ffu) : 0x7c00u));
  if (bits < 0x38800000u) /* subnormal: adding 0.5 puts the unit of float16 at the last bit, and the adder rounds */
    return (uint16_t)(sign | (td_float_bits(td_float_of(bits) + 0.5f) - 0x3f000000u));
  bits += 0xc8000fffu + ((bits >> 13) & 1u); /* rebias the exponent by 15 - 127 and round */
  return (uint16_t)(sign | (bits >> 13));
}
#endif
