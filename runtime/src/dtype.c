/* Facts of element types. */
#include "internal.h"

size_t td_dtype_size(td_dtype dtype) {
  static const uint8_t size[TD_NUM_DTYPES] = {[TD_BOOL] = 1, [TD_U8] = 1,  [TD_I8] = 1,  [TD_I16] = 2,
                                              [TD_I32] = 4,  [TD_I64] = 8, [TD_F16] = 2, [TD_BF16] = 2,
                                              [TD_F32] = 4,  [TD_F64] = 8, [TD_C64] = 8, [TD_C128] = 16};
  return (unsigned)dtype < TD_NUM_DTYPES ? size[dtype] : 0;
}
