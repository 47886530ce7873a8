"""Choices among several things, each of which is liked in proportion to what it has of some features.

Each is chosen with a probability in proportion to the exponential of how much it is liked, which is a conditional logit
(McFadden, 1974, Conditional Logit Analysis of Qualitative Choice Behavior). What the choices leave open of the
coefficients is a normal distribution around the likeliest ones (Laplace's approximation).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]


def conditional_logit(
    features: _Array, absent: npt.NDArray[np.bool_], won: npt.NDArray[np.int64], precision: _Array
) -> tuple[_Array, _Array]:
    """Mean (coefficients,) and covariance (coefficients, coefficients), by Newton's method.

    Args:
        features: finite, of each thing of each choice, (choices, things, coefficients).
        absent: things that were not there, (choices, things).
        won: the one that was chosen, (choices,).
        precision: above 0, of the normal around 0 that coefficients come from, (coefficients,).
    """
    winners = features[np.arange(len(won)), won]
    nothing = np.where(absent, -np.inf, 0.0)

    def objective(at: _Array) -> float:
        liking = features @ at + nothing
        return float((np.logaddexp.reduce(liking, 1) - winners @ at).sum() + (precision * at * at).sum() / 2)

    at = np.zeros(len(precision))
    while True:
        liking = features @ at + nothing
        shares = np.exp(liking - np.logaddexp.reduce(liking, 1)[:, None])
        expected = np.einsum("ic,icf->if", shares, features)
        slope = precision * at - (winners - expected).sum(0)
        second = np.einsum("ic,icf,icg->fg", shares, features, features, optimize=True) - expected.T @ expected
        curvature = second + np.diag(precision)
        stride = np.linalg.solve(curvature, slope)
        if slope @ stride < 1e-6:  # half of that, in nats, is what could still be gained
            return at, np.linalg.inv(curvature)
        length, before = 1.0, objective(at)
        while objective(at - length * stride) > before - length * (slope @ stride) / 4:
            length /= 2
        at = at - length * stride
