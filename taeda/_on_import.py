"""Work that waits until another package is imported."""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

#: Module of another package -> our module whose `register(module)` is called once it is there.
_WAITING = {"einops._backends": "taeda.utils.einops_backend"}


class _Watch:
    """Finds no module itself; lets `register` run behind the loader of those that are waited for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = _WAITING.pop(fullname, None)
        if ours is None:
            return None
        from importlib.util import find_spec

        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                import_module(ours).register(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Starts waiting; what is imported already is served at once."""
    for name in [n for n in _WAITING if n in sys.modules]:
        import_module(_WAITING.pop(name)).register(sys.modules[name])
    if _WAITING:
        sys.meta_path.insert(0, _Watch())
