"""What Taeda leaves out of PyTorch's tensor API or does another way, and why. Read by `coverage`, which shows it."""

from __future__ import annotations

import fnmatch

#: Reason -> patterns of names (namespace.name) that are no part of the public tensor API as Taeda means it.
OUTSIDE: dict[str, tuple[str, ...]] = {
    "sparse layouts": (
        "*sparse*", "torch.hsmm", "torch.hspmm", "torch.smm", "torch.spmm", "torch.saddmm", "torch.sspaddmm", "torch.dsmm",
        "Tensor.smm", "Tensor.sspaddmm", "*crow_indices*", "*col_indices*", "*ccol_indices*", "*row_indices*", "torch.indices_copy",
        "Tensor.indices", "Tensor.values", "torch.values_copy", "*coalesce*", "Tensor.dense_dim", "Tensor.to_dense",
    ),
    "nested (jagged) tensors": ("torch.jagged", "*nested*", "Tensor.to_padded_tensor"),
    "quantised tensors and their kernels": (
        "*quantize*", "*qscheme*", "torch.q*int*", "torch.quint*", "*q_scale", "*q_zero_point", "*q_per_channel*", "torch.QInt*",
        "torch.QUInt*", "*int_repr*", "torch.per_*", "*fbgemm*", "torch.choose_qparams_optimized", "*fused_moving_avg*",
        "torch.quantized*", "*scaled_mm", "*scaled_grouped_mm", "nn.functional.ScalingType", "nn.functional.SwizzleType",
    ),
    "kernels of other vendors' libraries, by name": ("*cudnn*", "*miopen*", "*mkldnn*", "torch.*_vulkan_*", "torch.*vulkan*", "torch.cudnn*"),
    "other devices than the CPU": (
        "Tensor.ipu", "Tensor.xpu", "Tensor.mtia", "Tensor.is_ipu", "Tensor.is_xpu", "Tensor.is_xla", "Tensor.is_maia", "Tensor.is_mtia",
        "Tensor.is_vulkan", "Tensor.is_mps", "Tensor.is_meta", "Tensor.record_stream", "torch.Stream", "torch.Event", "torch.get_device_module",
        "torch.AcceleratorError", "torch.OutOfMemoryError", "torch.StreamObjType", "torch.DeviceObjType", "Tensor.is_cuda", "Tensor.cuda",
        "autograd.DeviceType",
    ),
    "TorchScript, the JIT's classes and its type system": (
        "torch.*Type", "torch.Script*", "torch.*Script*", "torch.AliasDb", "torch.Argument*", "torch.Block", "torch.CallStack", "torch.Capsule",
        "torch.Code", "torch.CompilationUnit", "torch.CompleteArgumentSpec", "torch.ConcreteModule*", "torch.DeepCopyMemoTable",
        "torch.DeserializationStorageContext", "torch.SerializationStorageContext", "torch.ErrorReport", "torch.ExecutionPlan", "torch.FatalError",
        "torch.FileCheck", "torch.FunctionSchema", "torch.Future", "torch.Await*", "torch.Gradient", "torch.Graph*", "torch.IODescriptor",
        "torch.JITException", "torch.LiteScriptModule", "torch.LockingLogger", "torch.LoggerBase", "torch.NoopLogger", "torch.Node",
        "torch.OperatorInfo", "torch.PyTorchFile*", "torch.StaticModule", "torch.Tag", "torch.ThroughputBenchmark", "torch.TracingState",
        "torch.Type", "torch.Use", "torch.Value", "torch.fork", "torch.wait", "torch.import_ir_module*", "torch.parse_*", "torch.unify_type_list",
        "torch.merge_type_from_type_comment", "torch.Benchmark*", "torch.AggregationType", "torch.AVG", "torch.SUM", "torch.PRIVATE_OPS",
        "torch.Dispatch*", "torch.ExcludeDispatchKeyGuard", "torch.DisableTorchFunction*", "torch.classproperty", "torch.ModuleDict",
        "torch.ParameterDict", "torch.BufferDict", "torch.USE_*", "torch.TYPE_CHECKING", "torch.prepare_multiprocessing_environment",
        "torch.profiler_allow*", "torch.init_num_threads", "torch.sym_constrain*", "torch.sym_fresh_size", "torch.thread_safe_generator",
        "torch.compiled_with_cxx11_abi", "torch.has_*", "torch.vitals_enabled", "torch.set_vital", "torch.read_vitals", "torch.autocast_*",
        "torch.from_file",
    ),
    "automatic mixed precision: the package `amp` of another issue": (
        "torch.autocast", "torch.GradScaler", "torch.*autocast*", "torch.clear_autocast_cache", "torch.is_autocast*", "torch.set_autocast*",
    ),
    "parts of the synchronised batch normalisation of several devices": (
        "torch.batch_norm_*",
    ),
    "dtypes that PyTorch has few kernels for": (
        "torch.float8*", "torch.float4*", "torch.uint[1-7]", "torch.int[1-7]", "torch.bits*", "torch.complex32", "torch.chalf", "Tensor.chalf",
        "torch.uint16", "torch.uint32", "torch.uint64",
    ),
    "deprecated aliases of storages and typed tensors": (
        "torch.*Storage", "torch.StorageBase", "torch.Storage", "torch.*Tensor", "torch.is_storage", "Tensor.storage_type", "Tensor.volatile",
        "Tensor.data_ptr_impl", "torch.legacy_contiguous_format", "Tensor.const_data_ptr", "torch.from_dlpack_", "Tensor.grad_dtype",
        "Tensor.slice_inverse", "torch.slice_inverse", "Tensor.is_distributed", "torch.is_distributed",
    ),
    "helpers that a module of PyTorch happens to export": (
        "*.Callable", "*.Optional", "*.Union", "*.Sequence", "*.Mapping", "*.Any", "*.List", "*.Tuple", "*.Literal", "*.Iterable", "*.Iterator",
        "*.Generator_", "*.overload", "*.cast", "*.Enum", "nn.functional.DType", "nn.functional.Tensor", "*.boolean_dispatch", "*.assert_int_or_pair",
        "*handle_torch_function", "*has_torch_function*", "autograd.Profiler*", "autograd.kineto_available", "autograd.is_tensor_like", "autograd.variable",
        "autograd.SavedTensor", "autograd.NestedIOFunction", "autograd.enforce_grad_layout_policy", "autograd.is_view_replay_enabled",
        "special.Tensor", "fft.Tensor", "autograd.graph.TorchDispatchMode", "*.NamedTuple", "*.TypeVar", "*.deprecated", "torch.typename_",
        "torch.get_file_path", "*.BroadcastingList*", "*.TYPE_CHECKING", "nn.functional.GRID_SAMPLE_*", "*.reproducibility_notes",
        "*.tf32_notes", "*.common_notes",
    ),
}  # fmt: skip

#: Reason -> patterns of names that are left out on purpose.
MISSING: dict[str, tuple[str, ...]] = {
    "a bit type and a helper without a documented use": ("torch.bit", "torch.native_norm", "torch.to_dlpack_"),
    "settings of CUDA streams and of PyTorch's own compiler": ("autograd.graph.region_*", "autograd.graph.set_*"),
    "einops.rearrange works on our tensors": ("func.rearrange",),
}

#: Names -> where they behave another way, and why.
BEHAVIOUR: dict[tuple[str, ...], str] = {
    ("conj", "resolve_conj", "is_conj", "is_neg"): "conjugates and negatives are computed at once, never lazily: "
    "`is_conj()` and `is_neg()` are False, and `conj()` is no view",
    ("special.bessel_j0", "special.bessel_j1", "special.bessel_y0", "special.bessel_y1", "special.airy_ai"): "closer to "
    "the exact value in float64 (1e-14; PyTorch's are off by 1e-7)",
    ("special.gammainc", "special.gammaincc", "polygamma(1)"): "closer to the exact value (1e-13; PyTorch's are off by up to 1e-9)",
    ("i0(inf)",): "inf; PyTorch gives NaN",
    ("single expressions",): "listed with their reasons in tests/parity/test_parity_lines.py, DIFFERENT",
    ("compile", "jit.trace"): "captures refuse complex tensors, with the user's line",
}  # fmt: skip


def reason(prefix: str, name: str) -> str | None:
    """Why `prefix.name` is left out, or None."""
    full = f"{prefix}.{name}"
    for why, patterns in MISSING.items():
        if any(fnmatch.fnmatchcase(full, p) for p in patterns):
            return why
    return None
