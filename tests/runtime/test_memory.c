#include <pthread.h>

#include "check.h"

static td_mem_stats stats(void) {
  td_mem_stats s;
  td_mem_get_stats(&s);
  return s;
}

void test_memory(void) {
  td_mem_stats before = stats();
  enum { N = 3000 };
  static struct {
    unsigned char *p;
    size_t size;
    unsigned char tag;
  } kept[N];
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < N; ++i) {
      int bits = (int)random_below(i % 500 == 0 ? 23 : 15);
      kept[i].size = (size_t)random_below((INT64_C(1) << bits) + 1);
      kept[i].p = td_alloc(kept[i].size);
      kept[i].tag = (unsigned char)random_bits();
      CHECK(kept[i].p && ((uintptr_t)kept[i].p & 63) == 0);
      memset(kept[i].p, kept[i].tag, kept[i].size);
    }
    for (int n = 0; n < N; ++n) {
      int i = (n * 7 + round) % N;
      for (size_t b = 0; b < kept[i].size; b += 1 + kept[i].size / 50) CHECK(kept[i].p[b] == kept[i].tag);
      td_free(kept[i].p);
    }
  }
  td_mem_stats after = stats();
  CHECK(after.in_use == before.in_use);
  CHECK(after.alloc_calls - before.alloc_calls == 6 * N);
  CHECK(after.system_calls - before.system_calls < 3 * N);
  CHECK(after.cached > 0);
  td_mem_trim();
  CHECK(stats().cached == 0);

  void *a = td_alloc(0), *b = td_alloc(0);
  CHECK(a && b && a != b);
  td_free(a);
  td_free(b);
  td_free(NULL);
}

/* What is recycled, how much is kept, and what happens when there is no memory. */
void test_memory_limits(void) {
  td_mem_reset_peak();
  CHECK(td_alloc((size_t)1 << 47) == NULL || sizeof(size_t) < 8);
  CHECK(stats().peak_in_use == stats().in_use); /* what was refused was never used */
  CHECK(td_alloc(((size_t)1 << 47) + 1) == NULL);
  CHECK(td_alloc(SIZE_MAX) == NULL);
  td_mem_trim();

  uint64_t calls = stats().system_calls;
  char *p = td_alloc(5000000);
  memset(p, 1, 5000000);
  td_free(p);
  CHECK(td_alloc(4900000) == p); /* a slightly smaller request takes the same block */
  CHECK(stats().system_calls == calls + 1);
  td_free(p);

  td_mem_trim();
  td_mem_reset_peak();
  uint64_t base = stats().in_use;
  for (int i = 0; i < 40; ++i) { /* sizes that never repeat: old blocks go back to the system */
    char *q = td_alloc((size_t)(20 + i) << 20);
    CHECK(q);
    td_free(q);
  }
  td_mem_stats s = stats();
  uint64_t largest = (uint64_t)60 << 20;
  CHECK(s.in_use == base && s.peak_in_use >= base + ((uint64_t)59 << 20));
  CHECK(s.peak_in_use <= base + largest * 9 / 8);
  CHECK(s.cached <= largest * 9 / 8 * 9 / 8 + ((uint64_t)64 << 20) + (1 << 20));

  for (size_t n = 1; n < 300000; n += 1 + n / 7) { /* at most an eighth too large */
    uint64_t before = stats().in_use;
    void *q = td_alloc(n);
    uint64_t took = stats().in_use - before;
    CHECK(took >= n && took <= (n < 1024 ? n + 64 : n + n / 8 + 64));
    td_free(q);
  }
  td_mem_trim();
}

/* Blocks are made here and freed there. */
enum { SLOTS = 64, TURNS = 20000 };
static void *_Atomic slots[SLOTS];

static void *trade(void *seed) {
  uint64_t s = (uint64_t)(uintptr_t)seed;
  for (int i = 0; i < TURNS; ++i) {
    s = s * 6364136223846793005u + 1442695040888963407u;
    size_t n = (size_t)((s >> 40) % (i % 64 ? 2000 : 200000)) + 8;
    char *p = td_alloc(n);
    CHECK(p);
    memset(p, 0x5a, 8);
    td_free(__atomic_exchange_n((void **)&slots[(s >> 33) % SLOTS], p, __ATOMIC_ACQ_REL));
  }
  return NULL;
}

void test_memory_threads(void) {
  uint64_t before = stats().in_use;
  pthread_t ids[4];
  for (int i = 0; i < 4; ++i) pthread_create(&ids[i], NULL, trade, (void *)(uintptr_t)(i + 1));
  for (int i = 0; i < 20; ++i) {
    td_mem_trim();
    stats();
  }
  for (int i = 0; i < 4; ++i) pthread_join(ids[i], NULL);
  for (int i = 0; i < SLOTS; ++i) td_free(slots[i]);
  CHECK(stats().in_use == before);
  td_mem_trim();
  CHECK(stats().cached == 0); /* ended threads left nothing behind */
}
