"""How a layer's parameters and its state belong together: what `rlseq.online` needs to know."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recurrence:
    """A state of units, where each number of a parameter feeds one unit within a step.

    A unit is one entry of the last axis of every leaf of the carry, or several in a row: real and
    imaginary part, an LSTM's c and h, all states of a channel. Parameters without an axis here do
    not enter the state.
    """

    axes: dict[str, int]  # path of a parameter -> its axis, from the end, that runs over the units
    units: int
    diagonal: bool  # no unit's next state depends on another unit's state
