"""Running generated code: kernels that dispatch misses, the on-disk cache, compiled programs."""
