/* Runs one named test, or all; `--list` prints the names. */
#include "check.h"

static const struct {
  const char *name;
  void (*run)(void);
} tests[] = {
    {"memory", test_memory},
    {"memory_limits", test_memory_limits},
    {"memory_threads", test_memory_threads},
    {"parallel_for", test_parallel_for},
    {"parallel_callers", test_parallel_callers},
    {"fork", test_fork},
    {"errors", test_errors},
    {"map", test_map},
    {"map_index", test_map_index},
    {"rows", test_rows},
    {"cols", test_cols},
    {"scan", test_scan},
    {"copy", test_copy},
    {"copy_large", test_copy_large},
    {"gather", test_gather},
    {"scatter", test_scatter},
    {"scatter_parts", test_scatter_parts},
    {"index_errors", test_index_errors},
    {"nonzero", test_nonzero},
    {"sort", test_sort},
    {"half", test_half},
};

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (argc > 1 && !strcmp(argv[1], "--list")) {
    for (int i = 0; i < COUNT(tests); ++i) puts(tests[i].name);
    return 0;
  }
  if (argc > 1 && !strcmp(argv[1], "--bench")) {
    bench();
    return 0;
  }
  int ran = 0;
  for (int i = 0; i < COUNT(tests); ++i)
    if (argc < 2 || !strcmp(argv[1], tests[i].name)) {
      tests[i].run();
      ++ran;
    }
  CHECK(ran > 0);
  return 0;
}
