/* Packing for contractions: an operand's elements in the order in which the micro-kernels read them. */
#include "gemm.h"

#include "half.h"
#include "internal.h"

void td_gemm_describe(const int64_t *off, int64_t count, int64_t size, int64_t *run, int64_t *step) {
  int64_t steps = 1;
  *step = count > 1 ? off[1] - off[0] : size;
  while (steps + 1 < count && off[steps + 1] - off[steps] == *step) ++steps;
  if (steps + 1 >= count) { /* one stride throughout, as nearly always */
    *run = *step == size ? count : 1;
    return;
  }
  *step = 0;
  int64_t length = 1;
  while (length < count && off[length] - off[length - 1] == size) ++length;
  for (int64_t i = length; i < count && length > 1; i += length) /* every run as long as the first */
    for (int64_t j = i + 1; j < td_min(i + length, count); ++j)
      if (off[j] - off[j - 1] != size) {
        length = 1;
        break;
      }
  *run = length;
}

static float widen(const char *p, int32_t dtype) {
  uint16_t h;
  memcpy(&h, p, 2);
  return dtype == TD_F16 ? td_f16_to_f32(h) : td_bf16_to_f32(h);
}

/* Runs that make up lanes [i0, i0 + lanes), or 0 if there are too many. */
static int64_t find_runs(const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t size, td_run *runs) {
  int64_t count = 0;
  for (int64_t i = 0; i < lanes;) {
    int64_t piece = td_min(lanes - i, s->run_i - (i0 + i) % s->run_i);
    if (count == TD_PACK_RUNS) return 0;
    runs[count++] = (td_run){i, i + piece, s->off_i[i0 + i] - i * size};
    i += piece;
  }
  return count;
}

void td_gemm_pack(const td_gemm_kernels *g, const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t k0, int64_t k,
                  char *dst, int64_t row) {
  int64_t row_bytes = row * g->size, width = g->width;
  const int64_t *off_k = s->off_k + k0;
  if (g->dtype != g->panel_dtype) {
    for (int64_t kk = 0; kk < k; ++kk) {
      float *to = (float *)(dst + kk * row_bytes);
      for (int64_t i = 0; i < lanes; ++i) to[i] = widen(s->data + s->off_i[i0 + i] + off_k[kk], g->dtype);
      for (int64_t i = lanes; i < row; ++i) to[i] = 0;
    }
    return;
  }
  bool across = s->run_k > s->run_i && s->run_i < width / 2;
  for (int64_t lane = 0; lane < row; lane += width) {
    int64_t n = td_max(0, td_min(lanes - lane, width)), at = i0 + lane;
    char *to = dst + lane * g->size;
    td_run runs[TD_PACK_RUNS] = {{0, 0, 0}};
    int64_t count = n ? find_runs(s, at, n, g->size, runs) : 1;
    if (across && n)
      g->transposed(to, row_bytes, s->data, off_k, k, s->off_i + at, n, s->run_k, s->run_k - k0 % s->run_k);
    else if (count)
      g->runs(to, row_bytes, s->data, off_k, k, runs, count);
    else
      g->lanes(to, row_bytes, s->data, off_k, k, s->off_i + at, n);
  }
}

void td_gemm_pack_panels(const td_gemm_kernels *g, const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t k0,
                         int64_t k, char *dst, int64_t panel) {
  int64_t done = 0;
  if (g->dtype == g->panel_dtype && s->step_i == g->size) { /* steps of the operand are read from end to end */
    done = lanes / g->nr;
    if (done) g->wide(dst, panel, s->data + s->off_i[i0], s->off_k + k0, k, done);
  }
  for (; done * g->nr < lanes; ++done)
    td_gemm_pack(g, s, i0 + done * g->nr, td_min(g->nr, lanes - done * g->nr), k0, k, dst + done * panel, g->nr);
}

void td_gemm_pack_tiles(const td_gemm_kernels *g, const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t mr,
                        int64_t k0, int64_t k, char *dst, int64_t panel) {
  int64_t whole = mr <= g->width ? lanes / mr : 0, row = td_round_up(g->mr, g->width);
  if (row != g->width) whole = 0;
  if (whole) g->tall(dst, panel, s->data + s->off_i[i0], s->off_k + k0, k, whole, mr);
  for (int64_t t = whole; t * mr < lanes; ++t)
    td_gemm_pack(g, s, i0 + t * mr, td_min(mr, lanes - t * mr), k0, k, dst + t * panel, row);
}
