"""A module that imports torch at its top, which plugins' modules must not."""

from __future__ import annotations

import torch
from faulty_data import Squares


class Heavy(Squares):
    """A sound data set in a heavy module."""

    dtype = torch.float32
