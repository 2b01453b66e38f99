"""Gaussian process over distances, against scikit-learn's where distances are those of a line."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from evolve.subnet_search.gaussian_process import GaussianProcess

Matrix = np.ndarray


def apart(ones: Matrix, others: Matrix) -> Matrix:
    return np.abs(ones[:, None] - others)


def test_it_equals_scikit_learns(rng: np.random.Generator) -> None:
    x, new = rng.uniform(0, 10, 30), rng.uniform(0, 10, 8)
    values = np.sin(x) + 0.1 * rng.standard_normal(30) + 5.0
    process = GaussianProcess.given(2.0, 0.1, apart(x, x), values)
    assert process is not None
    # Matern of 1/2 is exp(-d / l); scikit-learn has no mean
    kernel = ConstantKernel(process.variance) * Matern(2.0, nu=0.5)
    kernel += WhiteKernel(0.1 * process.variance)
    rival = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None)
    rival.fit(x[:, None], values - values.mean())
    mean, covariance = process.posterior(apart(new, x), apart(new, new))
    expected_mean, expected = rival.predict(new[:, None], return_cov=True)
    noise = 0.1 * process.variance * np.eye(8)  # scikit-learn's is that of new observations
    np.testing.assert_allclose(mean, expected_mean + values.mean(), rtol=1e-9)
    np.testing.assert_allclose(covariance, expected - noise, atol=1e-9)
    assert process.likelihood == pytest.approx(rival.log_marginal_likelihood_value_)


def test_the_most_likely_of_the_grid_has_about_the_truth(rng: np.random.Generator) -> None:
    x = rng.uniform(0, 10, 120)
    truth = 3.0**2 * (np.exp(-apart(x, x) / 2.0) + 0.1 * np.eye(120))
    process = GaussianProcess.fit(apart(x, x), rng.multivariate_normal(np.full(120, 7.0), truth))
    assert 0.7 < process.length < 6.0
    assert 0.03 <= process.noise <= 0.3
    assert 2.0 < process.variance**0.5 < 5.0


def test_draws_have_the_posteriors_moments(rng: np.random.Generator) -> None:
    x, new = np.array([0.0, 1.0, 4.0]), np.array([0.5, 3.0])
    process = GaussianProcess.fit(apart(x, x), np.array([1.0, 2.0, -3.0]))
    distances = apart(new, x), apart(new, new)
    draws = np.array([process.draw(*distances, rng) for _ in range(4000)])
    mean, covariance = process.posterior(*distances)
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.08 * deviation.max())
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.1 * deviation.max() ** 2)


def test_equal_values_and_equal_points(rng: np.random.Generator) -> None:
    process = GaussianProcess.fit(np.zeros((4, 4)), np.full(4, 3.0))
    assert process.draw(np.zeros((2, 4)), np.zeros((2, 2)), rng) == pytest.approx([3.0, 3.0])


def test_covariances_that_are_none_are_left_out() -> None:
    """Of three pairs, two are close and the third far: no points of any space lie so."""
    distances = np.array([[0.0, 0.1, 9.0], [0.1, 0.0, 0.1], [9.0, 0.1, 0.0]])
    values = np.array([1.0, 2.0, 3.0])
    assert GaussianProcess.given(1.0, 0.01, distances, values) is None
    process = GaussianProcess.fit(distances, values)
    covariance = np.exp(-distances / process.length) + process.noise * np.eye(3)
    assert np.linalg.eigvalsh(covariance).min() > 0
