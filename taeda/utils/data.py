"""`taeda.data` under the path that PyTorch has for it."""

from ..data import *  # noqa: F403
from ..data import __all__ as __all__
