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

void td_gemm_pack(const td_gemm_kernels *g, const td_gemm_side *s, int64_t i0, int64_t lanes, int64_t k0, int64_t k,
                  char *dst, int64_t row) {
  int64_t row_bytes = row * g->size, ready = lanes; /* lanes that the packers below write in every step */
  if (g->dtype != g->panel_dtype) {
    for (int64_t kk = 0; kk < k; ++kk) {
      float *to = (float *)(dst + kk * row_bytes);
      for (int64_t i = 0; i < lanes; ++i) to[i] = widen(s->data + s->off_i[i0 + i] + s->off_k[k0 + kk], g->dtype);
    }
  } else if (s->run_k > s->run_i && s->run_i < g->width / 2) { /* k runs: transposed through registers */
    for (int64_t kk = 0; kk < k;) {
      int64_t at = k0 + kk, piece = td_min(k - kk, s->run_k - at % s->run_k);
      for (int64_t lane = 0; lane < lanes; lane += g->width)
        g->transposed(dst + kk * row_bytes + lane * g->size, row_bytes, s->data + s->off_k[at], s->off_i + i0 + lane,
                      td_min(lanes - lane, g->width), piece);
      kk += piece;
    }
    ready = td_round_up(lanes, g->width);
  } else {
    td_run runs[256];
    int64_t count = 0, last = 0;
    for (int64_t i = 0; i < lanes;) {
      int64_t piece = td_min(td_min(lanes - i, s->run_i - (i0 + i) % s->run_i), g->width);
      runs[count++] = (td_run){i, piece, s->off_i[i0 + i]};
      last = i;
      i += piece;
    }
    g->runs(dst, row_bytes, s->data, s->off_k + k0, k, runs, count);
    ready = last + g->width;
  }
  /* Lanes beyond the operand take part in the arithmetic: whatever lay there could be a slow subnormal number. */
  if (lanes < row && ready < row)
    for (int64_t kk = 0; kk < k; ++kk)
      memset(dst + kk * row_bytes + ready * g->size, 0, (size_t)((row - ready) * g->size));
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
