"""Functions of neural networks. Made from the operator table by `python tools/make_stubs.py`: do not edit."""

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from typing import Any

from .._core import Number, Tensor, _dtype

def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor: ...
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor: ...
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor: ...
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: Any = False) -> Tensor: ...
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: Any = False) -> Tensor: ...
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: Any = False) -> Tensor: ...
def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> Tensor: ...
def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> Tensor: ...
def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> Tensor: ...
def batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: _bool = False,
    momentum: Any = ...,
    eps: _float | None = ...,
) -> Tensor: ...
def bilinear(input1: Any, input2: Any, weight: Tensor | None, bias: Tensor | None = None) -> Tensor: ...
def binary_cross_entropy(
    input: Tensor,
    target: Any,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor: ...
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Any,
    weight: Tensor | None = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor: ...
def celu(input: Tensor, alpha: Number = 1.0, inplace: _bool = False) -> Tensor: ...
def celu_(input: Tensor, alpha: Number = 1.0) -> Tensor: ...
def conv1d(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Tensor: ...
def conv2d(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Tensor: ...
def conv3d(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Tensor: ...
def conv_transpose1d(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Tensor: ...
def conv_transpose2d(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Tensor: ...
def conv_transpose3d(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Tensor: ...
def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: Any = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor: ...
def cosine_similarity(x1: Any, x2: Any, dim: Any = 1, eps: _float | None = ...) -> Tensor: ...
def cross_entropy(
    input: Tensor,
    target: Any,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: Any = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: Any = ...,
) -> Tensor: ...
def dropout(input: Tensor, p: Any = ..., training: _bool = True, inplace: _bool = False) -> Tensor: ...
def dropout2d(input: Tensor, p: Any = ..., training: _bool = True, inplace: _bool = False) -> Tensor: ...
def elu(input: Tensor, alpha: Number = 1.0, inplace: _bool = False) -> Tensor: ...
def elu_(input: Tensor, alpha: Number = 1.0) -> Tensor: ...
def embedding(
    input: Tensor,
    weight: Tensor | None,
    padding_idx: Any = None,
    max_norm: Any = None,
    norm_type: Any = ...,
    scale_grad_by_freq: Any = False,
    sparse: Any = False,
) -> Tensor: ...
def gaussian_nll_loss(
    input: Tensor, target: Any, var: Any, full: Any = False, eps: _float | None = ..., reduction: str = "mean"
) -> Tensor: ...
def gelu(input: Tensor, *, approximate: Any = "none") -> Tensor: ...
def glu(input: Tensor, dim: Any = -1) -> Tensor: ...
def group_norm(
    input: Tensor, num_groups: Any, weight: Tensor | None = None, bias: Tensor | None = None, eps: _float | None = ...
) -> Tensor: ...
def gumbel_softmax(logits: Any, tau: Any = 1, hard: Any = False, eps: _float | None = ..., dim: Any = -1) -> Tensor: ...
def hardshrink(input: Tensor, lambd: Number = 0.5) -> Tensor: ...
def hardsigmoid(input: Tensor, inplace: _bool = False) -> Tensor: ...
def hardsigmoid_(input: Tensor) -> Tensor: ...
def hardswish(input: Tensor, inplace: _bool = False) -> Tensor: ...
def hardswish_(input: Tensor) -> Tensor: ...
def hardtanh(input: Tensor, min_val: Number = -1.0, max_val: Number = 1.0, inplace: _bool = False) -> Tensor: ...
def hardtanh_(input: Tensor, min_val: Number = -1.0, max_val: Number = 1.0) -> Tensor: ...
def hinge_embedding_loss(
    input: Tensor, target: Any, margin: Any = ..., size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor: ...
def huber_loss(
    input: Tensor, target: Any, reduction: str = "mean", delta: Any = ..., weight: Tensor | None = None
) -> Tensor: ...
def instance_norm(
    input: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: Any = True,
    momentum: Any = ...,
    eps: _float | None = ...,
) -> Tensor: ...
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: Any = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: Any = False,
) -> Tensor: ...
def kl_div(
    input: Tensor,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: Any = False,
) -> Tensor: ...
def l1_loss(
    input: Tensor,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor: ...
def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: _float | None = ...,
) -> Tensor: ...
def leaky_relu(input: Tensor, negative_slope: Number = 0.01, inplace: _bool = False) -> Tensor: ...
def leaky_relu_(input: Tensor, negative_slope: Number = 0.01) -> Tensor: ...
def linear(input: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> Tensor: ...
def local_response_norm(input: Tensor, size: Any, alpha: Any = ..., beta: Any = ..., k: Any = ...) -> Tensor: ...
def log_softmax(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: _dtype | None = None) -> Tensor: ...
def logsigmoid(input: Tensor) -> Tensor: ...
def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: Any = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor: ...
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
    return_indices: Any = False,
) -> Tensor: ...
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
    return_indices: Any = False,
) -> Tensor: ...
def mish(input: Tensor, inplace: _bool = False) -> Tensor: ...
def mish_(input: Tensor) -> Tensor: ...
def mse_loss(
    input: Tensor,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor: ...
def nll_loss(
    input: Tensor,
    target: Any,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: Any = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor: ...
def normalize(input: Tensor, p: Any = ..., dim: Any = 1, eps: _float | None = ..., out: Any = None) -> Tensor: ...
def one_hot(tensor: Any, num_classes: Any = -1) -> Tensor: ...
def pad(input: Tensor, pad: Any, mode: Any = "constant", value: Any = None) -> Tensor: ...
def pairwise_distance(x1: Any, x2: Any, p: Any = ..., eps: _float | None = ..., keepdim: _bool = False) -> Tensor: ...
def pixel_shuffle(input: Tensor, upscale_factor: Any) -> Tensor: ...
def pixel_unshuffle(input: Tensor, downscale_factor: Any) -> Tensor: ...
def poisson_nll_loss(
    input: Tensor,
    target: Any,
    log_input: Any = True,
    full: Any = False,
    size_average: Any = None,
    eps: _float | None = ...,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor: ...
def prelu(input: Tensor, weight: Tensor | None) -> Tensor: ...
def relu(input: Tensor, inplace: _bool = False) -> Tensor: ...
def relu6(input: Tensor, inplace: _bool = False) -> Tensor: ...
def relu6_(input: Tensor) -> Tensor: ...
def relu_(input: Tensor) -> Tensor: ...
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: _float | None = None
) -> Tensor: ...
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: Any = ...,
    is_causal: Any = False,
    scale: Any = None,
    enable_gqa: Any = False,
) -> Tensor: ...
def selu(input: Tensor, inplace: _bool = False) -> Tensor: ...
def selu_(input: Tensor) -> Tensor: ...
def sigmoid(input: Tensor, inplace: _bool = False) -> Tensor: ...
def silu(input: Tensor, inplace: _bool = False) -> Tensor: ...
def silu_(input: Tensor) -> Tensor: ...
def smooth_l1_loss(
    input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: Any = ...
) -> Tensor: ...
def soft_margin_loss(
    input: Tensor, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor: ...
def softmax(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: _dtype | None = None) -> Tensor: ...
def softmin(input: Tensor, dim: Any = None, _stacklevel: Any = 3, dtype: _dtype | None = None) -> Tensor: ...
def softplus(input: Tensor, beta: Number = 1.0, threshold: Number = 20.0) -> Tensor: ...
def softshrink(input: Tensor, lambd: Number = 0.5) -> Tensor: ...
def softsign(input: Tensor) -> Tensor: ...
def tanh(input: Tensor, inplace: _bool = False) -> Tensor: ...
def tanhshrink(input: Tensor) -> Tensor: ...
def threshold(input: Tensor, threshold: Number, value: Number, inplace: _bool = False) -> Tensor: ...
def threshold_(input: Tensor, threshold: Number, value: Number) -> Tensor: ...
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: Any = ...,
    p: Any = 2,
    eps: _float | None = ...,
    swap: Any = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor: ...
def unfold(input: Tensor, dimension: _int, size: _int, step: _int) -> Tensor: ...
def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: Any = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: Any = False,
) -> Tensor: ...
