"""Make Apache MXNet 1.9.1 usable on today's Python: import it, seed it, choose a device.

Importing this module imports MXNet and switches it to its NumPy interface. It changes what is
listed here, which outlasts the import, and nothing else:

- Environment variables that MXNet reads once, each only if it was not set before the import:
  ``OMP_NUM_THREADS=1`` (unless ``MXNET_OMP_MAX_THREADS`` is set), because more threads make small
  nets slower; ``MXNET_ENGINE_TYPE=NaiveEngine``, on one
  thread of a CPU build, because small operations cost less when they need not change threads;
  ``MXNET_SUBGRAPH_VERBOSE=0``. Training uses threads of its own for large steps
  (`thread_count`), unless you set their number.
- MXNet's own modules see a view of NumPy that has the names which NumPy removed since, and write
  NumPy's numbers as text without their type. NumPy itself is left as it is. The finder that does it
  is put on the import path by ``import nnbook``, so that a later ``import mxnet``, whoever writes
  it, works too.
- The NumPy interface is on, in the importing thread. Other threads switch it on by
  `use_numpy_mode`.

The code is in `nnbook.gluon`, the room of all that needs MXNet.
"""

from nnbook.gluon.runtime import (
    Device,
    as_device,
    best_device,
    device_of,
    devices,
    environment,
    mx,
    np,
    npx,
    seed_everything,
    thread_count,
    use_numpy_mode,
)

__all__ = [
    "Device",
    "as_device",
    "best_device",
    "device_of",
    "devices",
    "environment",
    "mx",
    "np",
    "npx",
    "seed_everything",
    "thread_count",
    "use_numpy_mode",
]
