"""The process on a lattice is exact where its rank allows, and near it by a bound where not."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from policies.base import Spec
from policies.gp import RANK, GpNumbers, GpParams, axis_tables, gp_model, matern, numbers
from tests.hand import SHARED, choice, decision, feedback, generator, leaves, question, window

PARAMS = GpParams(prior_mean=0.2, prior_sd=0.4, amplitude=0.5, shared=0.3, noise_sd=0.3, length_others=0.8)
HELD = window([True] * 9)
LENGTHS = (0.3, 0.4, 0.8)
WIDE = Spec(
    shape=(9, 8, 3),
    positions=(tuple(np.linspace(0, 1, 9)), tuple(np.linspace(0, 1, 8)), (0.0, 0.5, 1.0)),
    offsets=tuple(product((-1, 0, 1), (-1, 0, 1), (0,))),
    n_tasks=2,
    d=3,
    n_draws=16,
)
Rows = list[tuple[np.ndarray, int, int, float]]


def ids(spec: Spec) -> np.ndarray:
    return np.arange(int(np.prod(spec.shape)), dtype=np.int32)


def places(spec: Spec) -> np.ndarray:
    """(actions, axes) of a lattice, each in [0, 1]."""
    return np.array(list(product(*spec.positions)))


def kernel(spec: Spec) -> np.ndarray:
    """(actions, actions) product of one-dimensional Matern kernels, written out."""
    at, whole = places(spec), 1.0
    for axis, length in zip(range(at.shape[1]), LENGTHS, strict=False):
        r = np.sqrt(5) * np.abs(at[:, None, axis] - at[None, :, axis]) / length
        whole = whole * (1 + r + r**2 / 3) * np.exp(-r)
    return np.asarray(whole)


def kept(spec: Spec) -> np.ndarray:
    """(actions, actions) the kernel of the features."""
    tables, at = axis_tables(spec, LENGTHS), np.indices(spec.shape).reshape(len(spec.shape), -1)
    f = np.prod([table[row] for table, row in zip(tables, at, strict=True)], axis=0)
    return np.asarray(f @ f.T)


def random_rows(spec: Spec, n: int, seed: int) -> Rows:
    rng, size = generator(seed), int(np.prod(spec.shape))
    return [
        (rng.standard_normal(3), int(rng.integers(2)), int(rng.integers(size)), float(rng.random())) for _ in range(n)
    ]


def told(spec: Spec, rows: Rows) -> tuple[GpNumbers, Any]:
    model, own = gp_model(spec), numbers(PARAMS, spec)
    state = model.init(own)
    for x, task, action, y in rows:
        state = model.update(own, state, decision(HELD, features=x, task=task), choice(0, action), feedback(y))
    return own, state


def joint(base: np.ndarray, one: tuple[Any, ...], two: tuple[Any, ...]) -> np.ndarray:
    """Prior covariance of rewards at (contexts, tasks, actions), given the kernel over actions."""
    (x, j, a), (z, k, b) = one, two
    same = (j[:, None] == k[None, :]).astype(float)
    process = 0.25 * (0.3 + 0.7 * same) * base[a[:, None], b[None, :]]
    return np.asarray(0.16 * same + 0.16 * x @ z.T + process)


def regression(base: np.ndarray, rows: Rows, at: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of Gaussian process regression by one solve."""
    seen = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    gram = joint(base, seen, seen) + 0.09 * np.eye(len(rows))
    cross = joint(base, at, seen)
    weights = np.linalg.solve(gram, cross.T)
    return 0.2 + weights.T @ (np.array([r[3] for r in rows]) - 0.2), joint(base, at, at) - cross @ weights


def asked(spec: Spec, context: np.ndarray, task: int) -> tuple[Any, ...]:
    n = len(ids(spec))
    return np.tile(context, (n, 1)), np.full(n, task), ids(spec)


def test_matern_by_hand() -> None:
    """At one lengthscale: (1 + sqrt 5 + 5/3) exp(-sqrt 5) = 4.9027 * 0.10688."""
    assert matern(np.array([0.0, 0.6]), 0.6) == pytest.approx([1.0, (1 + 5**0.5 + 5 / 3) * np.exp(-(5**0.5))])


def test_a_small_lattice_loses_nothing_of_the_kernel() -> None:
    assert kept(SHARED) == pytest.approx(kernel(SHARED), abs=1e-12)


def test_of_all_features_of_this_number_these_lose_the_least() -> None:
    """216 points: what is lost is what the smallest eigenvalues hold, and below 2 % of the variance."""
    values = np.linalg.eigvalsh(kernel(WIDE))[::-1]
    lost = np.trace(kernel(WIDE) - kept(WIDE))
    assert lost == pytest.approx(values[RANK:].sum(), abs=1e-9)
    assert lost / len(values) < 0.02
    assert np.linalg.eigvalsh(kernel(WIDE) - kept(WIDE)).min() > -1e-12


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 30, 200])
def test_on_a_small_lattice_the_posterior_is_gaussian_process_regression(n: int, seed: int) -> None:
    rows, context, task = random_rows(SHARED, n, seed), generator(99).standard_normal(3), seed % 2
    own, state = told(SHARED, rows)
    belief = gp_model(SHARED).belief(own, state, question(context, task), ids(SHARED))
    mean, covariance = regression(kernel(SHARED), rows, asked(SHARED, context, task))
    assert belief.mean == pytest.approx(mean, abs=1e-9)
    assert belief.sd == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-9)


@pytest.mark.parametrize("n", [5, 20, 60])
def test_on_a_larger_lattice_it_is_the_regression_of_the_kernel_it_keeps(n: int) -> None:
    rows, context = random_rows(WIDE, n, 2), generator(99).standard_normal(3)
    own, state = told(WIDE, rows)
    belief = gp_model(WIDE).belief(own, state, question(context, 1), ids(WIDE))
    mean, covariance = regression(kept(WIDE), rows, asked(WIDE, context, 1))
    assert belief.mean == pytest.approx(mean, abs=1e-9)
    assert belief.sd == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-9)


@pytest.mark.parametrize("n", [5, 20, 60])
def test_the_exact_regression_is_as_near_as_the_kernels_error_says(n: int) -> None:
    """With E = K - kept, psd, and w the weights of either regression: variances differ by [1, -w] E [1, -w]'.

    The exact weights minimise q(w) = k - 2 w'k* + w'(K + s2) w, ours the same of the kept kernel: so
    0 <= q(exact) - kept q(ours) <= [1, -w] E [1, -w]' at our w. Means: m - m~ = (e* - E w~)' (K + s2)^-1 y.
    """
    rows, context = random_rows(WIDE, n, 2), generator(99).standard_normal(3)
    own, state = told(WIDE, rows)
    belief = gp_model(WIDE).belief(own, state, question(context, 1), ids(WIDE))
    at = asked(WIDE, context, 1)
    seen = tuple(np.array([r[i] for r in rows]) for i in range(3))
    mean, covariance = regression(kernel(WIDE), rows, at)
    weights = np.linalg.solve(joint(kept(WIDE), seen, seen) + 0.09 * np.eye(n), joint(kept(WIDE), at, seen).T)
    error = {
        (i, j): joint(kernel(WIDE), a, b) - joint(kept(WIDE), a, b)
        for i, a in enumerate((at, seen))
        for j, b in enumerate((at, seen))
    }
    gap = np.diag(error[0, 0] - 2 * error[0, 1] @ weights + weights.T @ error[1, 1] @ weights)
    rise = np.diag(covariance) - belief.sd**2
    assert np.all(rise >= -1e-9) and np.all(rise <= gap + 1e-9)
    residual = np.array([r[3] for r in rows]) - 0.2
    solved = np.linalg.solve(joint(kernel(WIDE), seen, seen) + 0.09 * np.eye(n), residual)
    assert mean - belief.mean == pytest.approx((error[0, 1].T - error[1, 1] @ weights).T @ solved, abs=1e-9)
    assert np.abs(mean - belief.mean).max() < np.sqrt(gap).max() * np.sqrt(residual @ solved)


@pytest.mark.parametrize("spec", [SHARED, WIDE, SHARED._replace(n_tasks=1)])
def test_the_outlook_is_the_mean_of_the_whole_lattice(spec: Spec) -> None:
    rows = [(x, task % spec.n_tasks, a, y) for x, task, a, y in random_rows(spec, 40, 3)]
    own, state = told(spec, rows)
    here = question(generator(5).standard_normal((4, 3)), spec.n_tasks - 1)
    whole = gp_model(spec).belief(own, state, here, ids(spec))
    assert gp_model(spec).outlook(own, state, here) == pytest.approx(whole.mean, abs=1e-12)


def test_a_lattice_of_one_axis_has_an_outlook_too() -> None:
    line = SHARED._replace(shape=(5, 1), positions=(SHARED.positions[0], (0.0,)), offsets=((0, 0),))
    own, state = told(line, random_rows(line, 10, 1))
    here = question(np.ones(3))
    assert gp_model(line).outlook(own, state, here) == pytest.approx(
        gp_model(line).belief(own, state, here, ids(line)).mean, abs=1e-12
    )


@pytest.mark.parametrize("spec", [SHARED, WIDE])
def test_few_points_and_many_have_one_belief(spec: Spec) -> None:
    """Below and above 1 + rank points the products are taken in another order."""
    own, state = told(spec, random_rows(spec, 30, 4))
    here = question(np.array([0.3, -0.2, 1.0]), 1)
    whole, some = (gp_model(spec).belief(own, state, here, part) for part in (ids(spec), ids(spec)[3:6]))
    for a, b in zip(whole, some, strict=True):
        assert a[3:6] == pytest.approx(b, abs=1e-10)
    assert whole.draws.mean(axis=1) == pytest.approx(whole.mean, abs=1e-12)


def test_the_draws_have_the_posteriors_covariance() -> None:
    """4,096 draws: within 4 / sqrt(2048) of the scale, as for independent pairs."""
    spec = SHARED._replace(n_draws=4096)
    own, state = told(spec, random_rows(spec, 30, 4))
    belief = gp_model(spec).belief(own, state, question(np.ones(3)), ids(spec)[:6])
    covariance = regression(kernel(spec), random_rows(spec, 30, 4), asked(spec, np.ones(3), 0))[1][:6, :6]
    centred = belief.draws - belief.mean[:, None]
    assert np.abs(centred @ centred.T / 4096 - covariance).max() < 4 / np.sqrt(2048) * np.diag(covariance).max()


def test_the_order_of_rows_does_not_matter() -> None:
    rows = random_rows(WIDE, 80, 6)
    (_, one), (_, two) = told(WIDE, rows), told(WIDE, rows[::-1])
    assert one.theta == pytest.approx(two.theta, abs=1e-9)
    assert one.root @ one.root.T == pytest.approx(two.root @ two.root.T, abs=1e-9)


def test_what_one_task_type_learns_another_hears_in_part() -> None:
    rows = [(np.zeros(3), 0, 7, 1.2)] * 50
    own, state = told(SHARED, rows)
    first, second = (gp_model(SHARED).outlook(own, state, question(np.zeros(3), task))[7] for task in (0, 1))
    assert 0.2 < second < first < 1.2


@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.3])
def test_invalid_feedback_leaves_the_state_bit_equal(reward: float) -> None:
    own, state = told(SHARED, random_rows(SHARED, 20, 1))
    row = decision(HELD, features=[1.0, 2.0, 3.0])
    after = gp_model(SHARED).update(own, state, row, choice(0, 3), feedback(reward, valid=False))
    assert leaves(after) == leaves(state)
