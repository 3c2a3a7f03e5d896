"""Kernels are densities, and their masses are those densities' integrals."""

import numpy as np
import pytest
from scipy import integrate

from evaluators.kernels import NAMES, between, density, mass


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_is_a_symmetric_density_without_a_mean(name) -> None:
    ends = (-9.0, 9.0)
    total, _ = integrate.quad(lambda u: density(name, np.array(u)), *ends, points=(-1, 0, 1))
    mean, _ = integrate.quad(lambda u: u * density(name, np.array(u)), *ends, points=(-1, 0, 1))
    assert total == pytest.approx(1, abs=1e-9)
    assert mean == pytest.approx(0, abs=1e-9)
    u = np.linspace(0, 3, 50)
    assert np.array_equal(density(name, u), density(name, -u))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", [-2.0, -0.7, 0.0, 0.3, 1.5])
def test_the_mass_is_the_integral_of_the_density(name, end) -> None:
    wanted, _ = integrate.quad(lambda u: density(name, np.array(u)), -9, end, points=(min(-1, end), min(0, end)))
    assert mass(name, np.array(end)) == pytest.approx(wanted, abs=1e-8)


def test_a_product_kernel_multiplies_its_axes_in_their_own_units() -> None:
    left, right = np.array([[0.0, 0.0]]), np.array([[0.5, 10.0]])
    found = between("triangular", left, right, bandwidths=(1.0, 40.0))
    assert found == pytest.approx([0.5 * 0.75])
