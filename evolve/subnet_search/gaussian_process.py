"""Regression by a Gaussian process over distances (Rasmussen and Williams, 2006, chapters 2 and 5).

The covariance of two points at distance d is s (exp(-d / l) + n [d = 0, the same point]). Mean and
variance s follow from the data; length l and noise n are those of a grid with the largest marginal
likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mcuformer.errors import InternalError

Matrix = npt.NDArray[np.float64]

LENGTHS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # in units of the median distance
NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)  # in units of the variance
TINY = 1e-12


@dataclass(frozen=True)
class GaussianProcess:
    """A process that was fitted to values.

    Args:
        length: length of the covariance, in units of distance.
        noise: variance of the noise, in units of the process's.
        mean: mean of the values.
        variance: variance of the process.
        factor: lower Cholesky factor of the values' covariance in units of `variance`, (n, n).
        solved: inverse of that covariance times the values without their mean, (n,).
        likelihood: logarithm of the marginal likelihood.
    """

    length: float
    noise: float
    mean: float
    variance: float
    factor: Matrix
    solved: Matrix
    likelihood: float

    @classmethod
    def fit(cls, distances: Matrix, values: Matrix) -> GaussianProcess:
        """Fit a process.

        A transport distance does not promise that every covariance is positive definite; those of
        the grid that are not are left out.

        Args:
            distances: distances of all points to one another, (n, n), n at least 1.
            values: value of each point, (n,).

        Raises:
            InternalError: no covariance of the grid is positive definite.
        """
        apart = distances[distances > 0]
        unit = float(np.median(apart)) if apart.size else 1.0
        likely = [
            (likelihood, length * unit, noise)
            for length in LENGTHS
            for likelihood, noise in _likelihoods(length * unit, distances, values)
        ]
        for _, length, noise in sorted(likely, reverse=True):
            if (fit := cls.given(length, noise, distances, values)) is not None:
                return fit
        raise InternalError("no covariance is positive definite", got=f"unit {unit:g}")

    @classmethod
    def given(
        cls, length: float, noise: float, distances: Matrix, values: Matrix
    ) -> GaussianProcess | None:
        """Return the process of a length and a noise, None if it is not positive definite.

        Its variance is the one with the largest likelihood.
        """
        count = len(values)
        try:
            covariance = np.exp(-distances / length) + noise * np.eye(count)
            factor = np.asarray(np.linalg.cholesky(covariance), np.float64)
        except np.linalg.LinAlgError:
            return None
        mean = float(values.mean())
        solved = np.linalg.solve(factor.T, np.linalg.solve(factor, values - mean))
        variance = max(float((values - mean) @ solved) / count, TINY)
        determinant = 2.0 * float(np.log(np.diag(factor)).sum())
        likelihood = -0.5 * (count * (np.log(2.0 * np.pi * variance) + 1.0) + determinant)
        return cls(length, noise, mean, variance, factor, solved, float(likelihood))

    def posterior(self, to_known: Matrix, among: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean (m,) and covariance (m, m) of the process, without noise, at new points.

        Args:
            to_known: distances of the new points to those of the fit, (m, n).
            among: distances of the new points to one another, (m, m).
        """
        covariance = np.exp(-to_known / self.length)
        explained = np.linalg.solve(self.factor, covariance.T)
        rest = np.exp(-among / self.length) - explained.T @ explained
        return self.mean + covariance @ self.solved, self.variance * rest

    def draw(self, to_known: Matrix, among: Matrix, rng: np.random.Generator) -> Matrix:
        """Draw values of the process at new points, (m,); arguments as for :meth:`posterior`."""
        mean, covariance = self.posterior(to_known, among)
        # negative eigenvalues are those of rounding, or of a distance that is not quite Euclidean
        eigenvalues, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
        scale = np.sqrt(np.maximum(eigenvalues, 0.0))
        result: Matrix = mean + vectors @ (scale * rng.standard_normal(len(mean)))
        return result


def _likelihoods(length: float, distances: Matrix, values: Matrix) -> list[tuple[float, float]]:
    """Return (log marginal likelihood, noise) for every noise of the grid, without indefinite ones.

    Noise only shifts the eigenvalues of exp(-distances / length), so one decomposition serves all.
    """
    eigenvalues, vectors = np.linalg.eigh(np.exp(-distances / length))
    squares = (vectors.T @ (values - values.mean())) ** 2
    count, found = len(values), []
    for noise in NOISES:
        shifted = eigenvalues + noise
        if shifted[0] > 0.0:  # the least
            variance = max(float((squares / shifted).sum()) / count, TINY)
            determinant = float(np.log(shifted).sum())
            likelihood = count * (np.log(2.0 * np.pi * variance) + 1.0) + determinant
            found.append((-0.5 * float(likelihood), noise))
    return found
