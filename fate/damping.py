"""The arithmetic of the Muse, apart from the warper, so that the engine has it without importing transformers.

It is done in NumPy: the arrays are small, and NumPy begins an operation in a fraction of PyTorch's time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fate.core.sampling import MuseMode


def dampen(
    ranked: npt.NDArray[Any], top_k: npt.NDArray[np.int64], damp: npt.NDArray[Any], mode: MuseMode
) -> npt.NDArray[Any]:
    """The Muse's arithmetic on scores in descending order.

    Args:
        ranked: (rows, n) scores, largest first, n > top_k unless the vocabulary ends before that.
        top_k, damp: (rows, 1), for each row its own; damp of the dtype of ``ranked``.
        mode: see ``fate.muse.MuseLogitsWarper``.

    Returns a new array of the same shape and dtype. Scores that are not finite stay as they are, and
    so does a row that would be left with no finite score: with nothing below the top to renormalise
    against, scaling all of its probabilities by d changes nothing.
    """
    finite = np.isfinite(ranked)
    top = np.arange(ranked.shape[-1]) < top_k
    with np.errstate(all="ignore"):  # log 0 is -inf, as it should be; what is not finite is not used
        if mode == "prob":
            dampened = ranked + np.log(damp)
            below = (finite & ~top).any(-1, keepdims=True)
            finite = finite & (below | (damp > 0))
        elif mode == "margin":
            last = np.maximum(finite.sum(-1, keepdims=True) - 1, 0)
            boundary = np.take_along_axis(ranked, np.minimum(top_k, last), -1)
            dampened = boundary + damp * (ranked - boundary)
        else:
            dampened = damp * ranked
    return np.where(top & finite, dampened, ranked)
