/* Element types for moving and adding data that is only known as bytes: any alignment, any alias. */
#ifndef TAEDA_RT_ELEMENTS_H
#define TAEDA_RT_ELEMENTS_H
#include <stdint.h>

#define TD_ELEMENT __attribute__((may_alias, aligned(1)))
typedef uint8_t td_e1 TD_ELEMENT;
typedef uint16_t td_e2 TD_ELEMENT;
typedef uint32_t td_e4 TD_ELEMENT;
typedef uint64_t td_e8 TD_ELEMENT;
typedef struct {
  uint64_t low, high;
} TD_ELEMENT td_e16;
typedef float td_f4 TD_ELEMENT;
typedef double td_f8 TD_ELEMENT;
#endif
