"""The arithmetic of the Muse, apart from the warper, so that the engine has it without importing transformers."""

from __future__ import annotations

import torch

from fate.core.sampling import MuseMode


def dampen(ranked: torch.Tensor, top_k: torch.Tensor, damp: torch.Tensor, mode: MuseMode) -> torch.Tensor:
    """The Muse's arithmetic on scores in descending order.

    Args:
        ranked: (rows, n) scores, largest first, n > top_k unless the vocabulary ends before that.
        top_k, damp: (rows, 1), for each row its own.
        mode: see ``fate.muse.MuseLogitsWarper``.

    Returns a new tensor of the same shape and dtype. Scores that are not finite stay as they are, and
    so does a row that would be left with no finite score: with nothing below the top to renormalise
    against, scaling all of its probabilities by d changes nothing.
    """
    n = ranked.shape[-1]
    finite = ranked.isfinite()
    if mode == "prob":
        dampened = ranked + damp.log()
        below = (finite & (torch.arange(n, device=ranked.device) >= top_k)).any(-1, keepdim=True)
        finite = finite & (below | (damp > 0))
    elif mode == "margin":
        last = (finite.sum(-1, keepdim=True) - 1).clamp(min=0)
        boundary = ranked.gather(-1, torch.minimum(top_k, last))
        dampened = boundary + damp * (ranked - boundary)
    else:
        dampened = damp * ranked
    top = torch.arange(n, device=ranked.device) < top_k
    return torch.where(top & finite, dampened, ranked)
