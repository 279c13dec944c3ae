"""The same training steps in JAX, jitted whole, with donated parameters and hand-written Adam/AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def _adam(
    jax: Any, lr: float, weight_decay: float, loss_of: Callable[..., Any], parameters: Any, batch: tuple
) -> Callable[[], Any]:
    jnp, tree = jax.numpy, jax.tree_util
    b1, b2, eps = 0.9, 0.999, 1e-8

    def update(state: Any, *batch: Any) -> Any:
        p, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(p, *batch)
        t = t + 1
        m = tree.tree_map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = tree.tree_map(lambda v, g: b2 * v + (1 - b2) * g * g, v, g)
        c1, c2 = 1 - b1**t, 1 - b2**t
        p = tree.tree_map(
            lambda p, m, v: p * (1 - lr * weight_decay) - lr * (m / c1) / (jnp.sqrt(v / c2) + eps), p, m, v
        )
        return (p, m, v, t), loss

    run = jax.jit(update, donate_argnums=0)
    zeros = tree.tree_map(jnp.zeros_like, parameters)
    holder = [(parameters, zeros, tree.tree_map(jnp.zeros_like, parameters), jnp.float32(0))]

    def step() -> Any:
        holder[0], loss = run(holder[0], *batch)
        return loss.block_until_ready()

    return step


def _cross_entropy(jax: Any, logits: Any, y: Any) -> Any:
    return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def _dense(jax: Any, key: Any, n: int, m: int) -> dict[str, Any]:
    bound = 1 / math.sqrt(n)
    return {"w": jax.random.uniform(key, (n, m), minval=-bound, maxval=bound), "b": jax.numpy.zeros(m)}


def mlp(jax: Any) -> Callable[[], Any]:
    keys = jax.random.split(jax.random.PRNGKey(0), 5)
    parameters = [_dense(jax, k, n, m) for k, (n, m) in zip(keys, ((784, 256), (256, 256), (256, 10)))]

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        for i, layer in enumerate(p):
            x = x @ layer["w"] + layer["b"]
            if i < 2:
                x = jax.nn.relu(x)
        return _cross_entropy(jax, x, y)

    batch = jax.random.normal(keys[3], (64, 784)), jax.random.randint(keys[4], (64,), 0, 10)
    return _adam(jax, 1e-3, 0.0, loss_of, parameters, batch)


def lenet(jax: Any) -> Callable[[], Any]:
    keys = jax.random.split(jax.random.PRNGKey(0), 6)
    parameters = {
        "c1": jax.random.normal(keys[0], (32, 1, 5, 5)) * 0.1, "c2": jax.random.normal(keys[1], (64, 32, 5, 5)) * 0.03,
        "b1": jax.numpy.zeros((32, 1, 1)), "b2": jax.numpy.zeros((64, 1, 1)),
        "d1": _dense(jax, keys[2], 3136, 512), "d2": _dense(jax, keys[3], 512, 10),
    }  # fmt: skip

    def pool(x: Any) -> Any:
        return jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        for c, b in (("c1", "b1"), ("c2", "b2")):
            x = pool(jax.nn.relu(jax.lax.conv(x, p[c], (1, 1), "SAME") + p[b]))
        x = jax.nn.relu(x.reshape(x.shape[0], -1) @ p["d1"]["w"] + p["d1"]["b"])
        return _cross_entropy(jax, x @ p["d2"]["w"] + p["d2"]["b"], y)

    batch = jax.random.normal(keys[4], (64, 1, 28, 28)), jax.random.randint(keys[5], (64,), 0, 10)
    return _adam(jax, 1e-3, 0.0, loss_of, parameters, batch)


def _gpt(jax: Any, layers: int, width: int, heads: int, length: int, batch_size: int) -> Callable[[], Any]:
    jnp = jax.numpy
    vocabulary = 65
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 6 * layers + 8))

    def norm() -> dict[str, Any]:
        return {"g": jnp.ones(width), "b": jnp.zeros(width)}

    parameters = {
        "token": jax.random.normal(next(keys), (vocabulary, width)), "position": jax.random.normal(next(keys), (length, width)),
        "norm": norm(), "head": _dense(jax, next(keys), width, vocabulary)["w"],
        "blocks": [
            {"ln1": norm(), "ln2": norm(), "qkv": _dense(jax, next(keys), width, 3 * width), "proj": _dense(jax, next(keys), width, width),
             "up": _dense(jax, next(keys), width, 4 * width), "down": _dense(jax, next(keys), 4 * width, width)}
            for _ in range(layers)
        ],
    }  # fmt: skip

    def layer_norm(x: Any, p: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) / jnp.sqrt(variance + 1e-5) * p["g"] + p["b"]

    def dense(x: Any, p: Any) -> Any:
        return x @ p["w"] + p["b"]

    causal = jnp.tril(jnp.ones((length, length), bool))

    def loss_of(p: Any, ids: Any, y: Any) -> Any:
        b, t = ids.shape
        x = p["token"][ids] + p["position"]
        for block in p["blocks"]:
            q, k, v = jnp.split(dense(layer_norm(x, block["ln1"]), block["qkv"]), 3, -1)
            q, k, v = (z.reshape(b, t, heads, -1).transpose(0, 2, 1, 3) for z in (q, k, v))
            scores = q @ k.swapaxes(-1, -2) / math.sqrt(width // heads)
            attention = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), -1) @ v
            x = x + dense(attention.transpose(0, 2, 1, 3).reshape(b, t, width), block["proj"])
            x = x + dense(
                jax.nn.gelu(dense(layer_norm(x, block["ln2"]), block["up"]), approximate=False), block["down"]
            )
        logits = layer_norm(x, p["norm"]) @ p["head"]
        return _cross_entropy(jax, logits.reshape(-1, vocabulary), y.reshape(-1))

    ids = jax.random.randint(next(keys), (batch_size, length + 1), 0, vocabulary)
    return _adam(jax, 3e-4, 1e-2, loss_of, parameters, (ids[:, :-1], ids[:, 1:]))


def gpt_small(jax: Any) -> Callable[[], Any]:
    return _gpt(jax, 4, 128, 4, 64, 12)


def gpt_large(jax: Any) -> Callable[[], Any]:
    return _gpt(jax, 6, 384, 6, 256, 4)


WORKLOADS = {"mlp": mlp, "lenet": lenet, "gpt_small": gpt_small, "gpt_large": gpt_large}
