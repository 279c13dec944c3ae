"""Side-by-side measurements against PyTorch and JAX. Run: python -m benchmarks.run --help"""
