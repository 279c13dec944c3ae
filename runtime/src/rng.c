/* Counter ranges of the random generator. */
#include "internal.h"

uint64_t td_rng_reserve(td_rng *rng, uint64_t count) {
  uint64_t first = rng->offset;
  rng->offset += count;
  return first;
}
