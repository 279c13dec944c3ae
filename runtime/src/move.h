/* Inner loops of indexed access: elements moved or combined, point by point or along a row. */
#ifndef TAEDA_RT_MOVE_H
#define TAEDA_RT_MOVE_H
#include "taeda_rt.h"

/* Element i of `count`: to[i] + to_offset takes from[i] + from_offset. */
typedef void (*td_points_fn)(char *const *to, char *const *from, int64_t count, int64_t to_offset, int64_t from_offset);
/* n elements, strides in bytes. */
typedef void (*td_row_move_fn)(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n);
typedef struct td_mover {
  td_points_fn points;
  td_row_move_fn row;
} td_mover;

const td_mover *td_mover_set(size_t elem_size); /* NULL: no such element */
/* mode: TD_SCATTER_ADD and later; NULL: none. Half types compute in float32 and round each result; bool adds as or. */
const td_mover *td_mover_combine(td_dtype dtype, int mode);
#endif
