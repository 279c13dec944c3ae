"""Module: parameters, buffers, submodules, modes and hooks around calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import taeda
from taeda import Tensor

from .hooks import RemovableHandle, register, through_boundary
from .parameter import Buffer, Parameter
from .state import StateDict

T = TypeVar("T", bound="Module")


_GLOBAL_FORWARD_PRE_HOOKS: OrderedDict[int, Callable] = OrderedDict()
_GLOBAL_FORWARD_HOOKS: OrderedDict[int, Callable] = OrderedDict()


def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """Calls hook(module, args) before every module's forward."""
    return register(_GLOBAL_FORWARD_PRE_HOOKS, hook)


def register_module_forward_hook(hook: Callable) -> RemovableHandle:
    """Calls hook(module, args, output) after every module's forward."""
    return register(_GLOBAL_FORWARD_HOOKS, hook)


class Module(StateDict):
    """Base of all networks: assign parameters and submodules as attributes, write `forward`."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    _STORES = ("_parameters", "_buffers", "_modules")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            given = f"{len(args)} positional" if args else f"keyword '{next(iter(kwargs))}'"
            raise TypeError(f"{type(self).__name__}.__init__(): Module takes no arguments, got {given}")
        put = super().__setattr__
        put("training", True)
        put("_parameters", {})
        put("_buffers", {})
        put("_non_persistent_buffers_set", set())
        put("_modules", {})
        put("_forward_hooks", OrderedDict())
        put("_forward_hooks_with_kwargs", OrderedDict())
        put("_forward_hooks_always_called", OrderedDict())
        put("_forward_pre_hooks", OrderedDict())
        put("_forward_pre_hooks_with_kwargs", OrderedDict())
        put("_backward_hooks", OrderedDict())
        put("_backward_pre_hooks", OrderedDict())
        put("_state_dict_hooks", OrderedDict())
        put("_state_dict_pre_hooks", OrderedDict())
        put("_load_state_dict_pre_hooks", OrderedDict())
        put("_load_state_dict_post_hooks", OrderedDict())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # -- attributes ------------------------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        stores = self.__dict__
        parameters = stores.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name)
            self.register_parameter(name, value)
            return
        if isinstance(value, Module):
            if stores.get("_modules") is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name)
            stores["_modules"][name] = value
            return
        if parameters is not None:
            if name in parameters:
                if value is not None:
                    raise TypeError(
                        f"cannot assign '{taeda_typename(value)}' as parameter '{name}' (taeda.nn.Parameter or None expected)"
                    )
                parameters[name] = None
                return
            if name in stores["_modules"]:
                if value is not None:
                    raise TypeError(
                        f"cannot assign '{taeda_typename(value)}' as child module '{name}' (taeda.nn.Module or None expected)"
                    )
                stores["_modules"][name] = None
                return
            if isinstance(value, Buffer):
                self._forget(name)
                self.register_buffer(name, value, value.persistent)
                return
            if name in stores["_buffers"]:
                if value is not None and not isinstance(value, Tensor):
                    raise TypeError(
                        f"cannot assign '{taeda_typename(value)}' as buffer '{name}' "
                        "(taeda.nn.Buffer, taeda.Tensor or None expected)"
                    )
                stores["_buffers"][name] = value
                return
        super().__setattr__(name, value)

    def _forget(self, name: str) -> None:
        self.__dict__.pop(name, None)
        for store in self._STORES:
            self.__dict__[store].pop(name, None)
        self.__dict__["_non_persistent_buffers_set"].discard(name)

    def __getattr__(self, name: str) -> Any:
        for store in self._STORES:
            found = self.__dict__.get(store)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for store in self._STORES:
            if name in self.__dict__[store]:
                del self.__dict__[store][name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = set(super().__dir__())
        for store in self._STORES:
            names.update(self.__dict__.get(store, ()))
        return sorted(n for n in names if not n[:1].isdigit())

    def _check_name(self, kind: str, name: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is part of the module's state but not trained."""
        self._check_name("buffer", name)
        if hasattr(self, name) and name not in self._buffers:
            raise KeyError(f"attribute '{name}' already exists")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{taeda_typename(tensor)}' object to buffer '{name}' (taeda Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        self._check_name("parameter", name)
        if hasattr(self, name) and name not in self._parameters:
            raise KeyError(f"attribute '{name}' already exists")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{taeda_typename(param)}' object to parameter '{name}' (taeda.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To express "
                f"'{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        self._check_name("module", name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{taeda_typename(module)} is not a Module subclass")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        self._modules[name] = module

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The submodule at the dotted path `target`; AttributeError if there is none."""
        module: Any = self
        for part in target.split(".") if target else ():
            if not hasattr(module, part):
                raise AttributeError(f"{type(module).__name__} has no attribute `{part}`")
            module = getattr(module, part)
            if not isinstance(module, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return module

    def get_parameter(self, target: str) -> Parameter:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        found = getattr(module, name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return module._buffers[name]  # type: ignore[return-value]

    # -- calling -----------------------------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        d = self.__dict__
        if not (
            d["_forward_hooks"] or d["_forward_pre_hooks"] or d["_backward_hooks"] or d["_backward_pre_hooks"]
            or _GLOBAL_FORWARD_HOOKS or _GLOBAL_FORWARD_PRE_HOOKS
        ):  # fmt: skip
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        done = False
        try:
            for key, hook in [*_GLOBAL_FORWARD_PRE_HOOKS.items(), *self._forward_pre_hooks.items()]:
                if key in self._forward_pre_hooks_with_kwargs:
                    changed = hook(self, args, kwargs)
                    if changed is not None:
                        if not (isinstance(changed, tuple) and len(changed) == 2):
                            raise RuntimeError(
                                f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                            )
                        args, kwargs = changed
                else:
                    changed = hook(self, args)
                    if changed is not None:
                        args = changed if isinstance(changed, tuple) else (changed,)
            backward_hooks = list(self._backward_hooks.values())
            backward_pre_hooks = list(self._backward_pre_hooks.values())
            seen: dict[str, Any] = {}
            if backward_hooks and args:
                args = through_boundary(args, lambda grads: self._send_backward(backward_hooks, grads, seen))
            result = self.forward(*args, **kwargs)
            done = True
            for key, hook in [*_GLOBAL_FORWARD_HOOKS.items(), *self._forward_hooks.items()]:
                changed = (
                    hook(self, args, kwargs, result)
                    if key in self._forward_hooks_with_kwargs
                    else hook(self, args, result)
                )
                if changed is not None:
                    result = changed
            if (backward_hooks or backward_pre_hooks) and isinstance(result, (Tensor, tuple)):
                result = through_boundary(result, lambda grads: self._receive_backward(backward_pre_hooks, grads, seen))
            return result
        except Exception:
            if not done:
                for key, hook in list(self._forward_hooks.items()):
                    if key in self._forward_hooks_always_called:
                        hook(self, args, kwargs, None) if key in self._forward_hooks_with_kwargs else hook(
                            self, args, None
                        )
            raise

    def _receive_backward(self, pre_hooks: list[Callable], grads: tuple, seen: dict) -> tuple:
        for hook in pre_hooks:
            changed = hook(self, grads)
            if changed is not None:
                grads = changed if isinstance(changed, tuple) else (changed,)
        seen["output"] = grads
        return grads

    def _send_backward(self, hooks: list[Callable], grads: tuple, seen: dict) -> tuple:
        for hook in hooks:
            changed = hook(self, grads, seen.get("output"))
            if changed is not None:
                grads = changed if isinstance(changed, tuple) else (changed,)
        return grads

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Calls hook(module, args[, kwargs], output) after forward; a value returned replaces the output."""
        flags = self._forward_hooks_with_kwargs, self._forward_hooks_always_called
        handle = register(self._forward_hooks, hook, *flags, prepend=prepend)
        if with_kwargs:
            flags[0][handle.id] = True
        if always_call:
            flags[1][handle.id] = True
        return handle

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls hook(module, args[, kwargs]) before forward; a value returned replaces the arguments."""
        handle = register(self._forward_pre_hooks, hook, self._forward_pre_hooks_with_kwargs, prepend=prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls hook(module, grad_input, grad_output) once the gradients wrt the module's inputs are there."""
        return register(self._backward_hooks, hook, prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls hook(module, grad_output) before the module's gradients are computed."""
        return register(self._backward_pre_hooks, hook, prepend=prepend)

    # -- iteration -----------------------------------------------------------------------------------------------------
    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Itself and all modules below, each once, with dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, store: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in module.__dict__[store].items():
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # -- modes and conversion --------------------------------------------------------------------------------------------
    def train(self: T, mode: bool = True) -> T:
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: T) -> T:
        return self.train(False)

    def requires_grad_(self: T, requires_grad: bool = True) -> T:
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = taeda.zeros_like(parameter.grad)

    def apply(self: T, fn: Callable[[Module], Any]) -> T:
        """Calls fn on every module below, then on itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: T, fn: Callable[[Tensor], Tensor]) -> T:
        for module in self.children():
            module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is not None:
                with taeda.no_grad():
                    parameter.data = fn(parameter.data)
                if parameter.grad is not None:
                    grad = fn(parameter.grad.detach())
                    parameter.grad = None
                    parameter.grad = grad
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self: T, *args: Any, **kwargs: Any) -> T:
        """`to(device)`, `to(dtype)`, `to(device, dtype)` or `to(tensor)`; only floating tensors change dtype."""
        dtype = kwargs.pop("dtype", None)
        device = kwargs.pop("device", None)
        for name in ("non_blocking", "memory_format"):
            kwargs.pop(name, None)
        if kwargs:
            raise TypeError(f"to(): unexpected keyword argument '{next(iter(kwargs))}'")
        for argument in args:
            if isinstance(argument, taeda.dtype):
                dtype = argument
            elif isinstance(argument, Tensor):
                dtype, device = argument.dtype, argument.device
            elif isinstance(argument, (str, taeda.device)):
                device = argument
            elif not isinstance(argument, (bool, type(None))):
                raise TypeError(f"to(): expected a device, dtype or tensor, got {type(argument).__name__}")
        if device is not None:
            taeda.device(device)
        if dtype is None:
            return self
        if not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() or t.is_complex() else t)

    def type(self: T, dst_type: Any) -> T:
        return self._apply(lambda t: t.to(dst_type))

    def float(self: T) -> T:
        return self.to(taeda.float32)

    def double(self: T) -> T:
        return self.to(taeda.float64)

    def half(self: T) -> T:
        return self.to(taeda.float16)

    def bfloat16(self: T) -> T:
        return self.to(taeda.bfloat16)

    def cpu(self: T) -> T:
        return self

    # -- text ----------------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """Override: what stands between the brackets of the module's line in repr."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + text.replace("\n", "\n  ") for name, text in self._children_repr()]
        name = self._get_name()
        if not children and len(lines) <= 1:
            return f"{name}({''.join(lines)})"
        body = "".join(f"\n  {line}" for line in lines + children)
        return f"{name}({body}\n)"

    def _children_repr(self) -> Iterable[tuple[str, str]]:
        return [(name, repr(module)) for name, module in self._modules.items()]

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles this module's forward in place (taeda.compile)."""
        object.__setattr__(self, "forward", taeda.compile(self.forward, *args, **kwargs))


def taeda_typename(value: Any) -> str:
    """`taeda.FloatTensor` for tensors, `module.Class` otherwise."""
    if isinstance(value, Tensor):
        return value.type()
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
