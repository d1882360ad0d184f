"""A zoo of planted mistakes, and of correct nets, to try checks and monitors on.

Every bug is code that runs, beside the same code without the mistake. Those of `BUGS` were written
before the checks and monitors that are tried on them; what was met since is in `LATER_BUGS`.
"""

from nnbook.zoo.cases import Bug, Case, CorrectNet
from nnbook.zoo.correct import CORRECT
from nnbook.zoo.gradients import GRADIENT_BUGS
from nnbook.zoo.later import LATER_BUGS
from nnbook.zoo.losses import LOSS_BUGS
from nnbook.zoo.networks import NETWORK_BUGS
from nnbook.zoo.optimisation import OPTIMISATION_BUGS
from nnbook.zoo.spoilt_data import DATA_BUGS

__all__ = ["BUGS", "CORRECT", "LATER_BUGS", "Bug", "Case", "CorrectNet", "bug"]

#: Every bug that was planted before the checks were written; `LATER_BUGS` has those since.
BUGS: tuple[Bug, ...] = (
    *GRADIENT_BUGS,
    *LOSS_BUGS,
    *DATA_BUGS,
    *NETWORK_BUGS,
    *OPTIMISATION_BUGS,
)


def bug(name: str) -> Bug:
    """Return the bug of a name.

    Parameters
    ----------
    name : str
        Of one of `BUGS` or `LATER_BUGS`.

    Returns
    -------
    Bug

    Raises
    ------
    KeyError
        There is no such bug.

    Examples
    --------
    >>> from nnbook import zoo
    >>> zoo.bug("softmax_twice").title
    'Softmax twice'
    """
    every = (*BUGS, *LATER_BUGS)
    for each in every:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in every)
    raise KeyError(f"there is no bug {name!r}; expected one of {known}")
