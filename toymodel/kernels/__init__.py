"""Compiled loops. None calls a jitted function of another file: cached code would go stale.

Imported only where a loop is about to run, so that ``import toymodel`` does not load numba. Entry points
have explicit signatures and are compiled (or read from the cache) when first asked for; inputs that are only
read are typed read-only, which takes writable arrays too.
"""

from toymodel.kernels.exchange import reshuffled_kernel
from toymodel.kernels.moments import measure, moment_kernel, share_kernel, sweep_kernel
from toymodel.kernels.projected import projected_kernel

__all__ = [
    "measure",
    "moment_kernel",
    "projected_kernel",
    "reshuffled_kernel",
    "share_kernel",
    "sweep_kernel",
]
