#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

typedef struct tally {
  atomic_int *hits;
  int64_t blocks;
  atomic_int nested, most_index;
} tally;

static void hit(void *ctx, int64_t begin, int64_t end) {
  tally *t = ctx;
  CHECK(begin < end && end <= t->blocks);
  for (int64_t i = begin; i < end; ++i) atomic_fetch_add(&t->hits[i], 1);
  int index = td_thread_index();
  CHECK(index >= 0 && index < td_get_num_threads());
}

static void run(int64_t blocks) {
  tally t = {.blocks = blocks, .hits = calloc((size_t)blocks + 1, sizeof(atomic_int))};
  td_parallel_for(blocks, hit, &t);
  for (int64_t i = 0; i < blocks; ++i) CHECK(t.hits[i] == 1);
  free(t.hits);
}

static void outer(void *ctx, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    run(7); /* nested: stays on this thread */
    atomic_fetch_add((atomic_int *)ctx, 1);
  }
}

void test_parallel_for(void) {
  CHECK(td_get_num_threads() >= 1);
  CHECK(td_thread_index() == 0);
  for (int threads = 1; threads <= 5; ++threads) {
    td_set_num_threads(threads);
    CHECK(td_get_num_threads() == threads);
    for (int64_t blocks = 0; blocks < 40; ++blocks) run(blocks);
    run(10007);
    for (int i = 0; i < 300; ++i) run(2 + i % 5);
    atomic_int count = 0;
    td_parallel_for(20, outer, &count);
    CHECK(count == 20);
  }
  td_set_num_threads(2); /* fewer than exist */
  for (int i = 0; i < 50; ++i) {
    run(8);
    if (i % 10 == 0) usleep(500); /* lets them fall asleep */
  }
  td_set_num_threads(0);
  CHECK(td_get_num_threads() == 1);
}

static void *call(void *unused) {
  for (int i = 0; i < 400; ++i) run(1 + i % 9);
  return unused;
}

void test_parallel_callers(void) {
  td_set_num_threads(3);
  pthread_t ids[4];
  for (int i = 0; i < 4; ++i) pthread_create(&ids[i], NULL, call, NULL);
  call(NULL);
  for (int i = 0; i < 4; ++i) pthread_join(ids[i], NULL);
}

void test_fork(void) {
  td_set_num_threads(3);
  run(30);
  td_free(td_alloc(100));
  for (int i = 0; i < 3; ++i) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      run(30);
      td_free(td_alloc(100));
      td_free(td_alloc(1 << 20));
      exit(0); /* through the exit handlers */
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    run(30);
  }
}

static void *fail_elsewhere(void *unused) {
  CHECK(td_fail(TD_ERR_VALUE, "other") == TD_ERR_VALUE);
  return unused;
}

void test_errors(void) {
  CHECK(td_fail(TD_ERR_SHAPE, "got %d, expected %s", 3, "two") == TD_ERR_SHAPE);
  pthread_t id;
  pthread_create(&id, NULL, fail_elsewhere, NULL);
  pthread_join(id, NULL);
  CHECK(!strcmp(td_last_error(), "got 3, expected two"));
  td_fail(TD_ERR_SHAPE, "matmul: %s", td_last_error());
  CHECK(!strcmp(td_last_error(), "matmul: got 3, expected two"));
  td_rng rng = {1, 10};
  CHECK(td_rng_reserve(&rng, 5) == 10 && rng.offset == 15);
  static const size_t sizes[] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  for (int d = 0; d < TD_NUM_DTYPES; ++d) CHECK(td_dtype_size((td_dtype)d) == sizes[d]);
}
