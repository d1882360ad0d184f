"""nnbook: a textbook that runs, about training neural networks in practice.

Importing it, or any of its modules, imports Apache MXNet and makes it work on today's NumPy (see
`nnbook.runtime`). Where that is impossible an ImportError says what to do.
"""

import sys

__version__ = "0.1.0"

try:
    from nnbook import runtime as runtime
except ImportError:
    # ``python -m nnbook doctor`` and the command ``nnbook`` exist to explain this very failure.
    # While ``-m`` looks for the module, argv[0] is "-m". Whatever else is imported then needs
    # the runtime itself and fails with the same message.
    _command = sys.argv[0] if sys.argv else ""
    if _command != "-m" and _command.replace("\\", "/").rpartition("/")[2] not in (
        "nnbook",
        "nnbook.exe",
    ):
        raise
