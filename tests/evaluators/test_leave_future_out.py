"""Leave-future-out: no row is predicted by a model that saw it or a later one, and the model is ridge."""

import numpy as np
import pytest

from evaluators.leave_future_out import Params, predict


def sample(rng, n=230, n_contexts=12, n_slots=6, n_features=5):
    design = rng.normal(size=(n_contexts, n_slots, n_features))
    design[..., 0] = 1.0
    given = {"row": rng.integers(n_contexts, size=n), "slot": rng.integers(n_slots, size=n)}
    truth = rng.normal(size=n_features)
    return design, given | {"reward": design[given["row"], given["slot"]] @ truth + 0.1 * rng.normal(size=n)}, truth


@pytest.mark.parametrize("every", [1, 7, 50, 1000])
def test_predictions_are_ridge_on_the_earlier_rows(every) -> None:
    design, given, _ = sample(np.random.default_rng(0))
    found = predict(Params(ridge=2.0, every=every), design, **given, start=0.3)
    for t in (0, 6, 7, 49, 50, 123, 229):
        seen = t // every * every
        x, y = design[given["row"], given["slot"]][:seen], given["reward"][:seen]
        mean = y.mean() if seen else 0.3
        weight = np.linalg.solve(x.T @ x + 2.0 * np.eye(5), x.T @ (y - mean))
        np.testing.assert_allclose(found[t], design[given["row"][t]] @ weight + mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", [1, 49, 50, 51, 200])
def test_later_rows_never_change_an_earlier_prediction(t) -> None:
    design, given, _ = sample(np.random.default_rng(1))
    before = predict(Params(every=50), design, **given)
    rng = np.random.default_rng(2)
    changed = {name: values.copy() for name, values in given.items()}
    changed["reward"][t:] = 1e6
    changed["slot"][t:] = rng.integers(6, size=230 - t)
    after = predict(Params(every=50), design, **changed)
    assert np.array_equal(after[: t + 1], before[: t + 1])


def test_earlier_rows_do_change_a_later_prediction() -> None:
    design, given, _ = sample(np.random.default_rng(3))
    before = predict(Params(every=50), design, **given)
    changed = given | {"reward": given["reward"] + (np.arange(230) == 10)}
    after = predict(Params(every=50), design, **changed)
    assert np.abs(after[50:] - before[50:]).max(axis=1).min() > 0
    assert np.array_equal(after[:50], before[:50])


def test_a_shorter_log_is_predicted_as_the_start_of_a_longer_one() -> None:
    design, given, _ = sample(np.random.default_rng(4))
    short = {name: values[:99] for name, values in given.items()}
    np.testing.assert_allclose(
        predict(Params(), design, **short), predict(Params(), design, **given)[:99], rtol=1e-9, atol=1e-9
    )


def test_a_linear_reward_is_learnt() -> None:
    design, given, truth = sample(np.random.default_rng(5), n=3000)
    found = predict(Params(ridge=1e-3), design, **given)
    # noise 0.1, at least 1,000 rows seen: each weight is known to about 0.004
    np.testing.assert_allclose(found[1000:], (design @ truth)[given["row"]][1000:], atol=0.08)


def test_the_first_rows_get_the_start() -> None:
    design, given, _ = sample(np.random.default_rng(6))
    assert (predict(Params(every=20), design, **given, start=0.25)[:20] == 0.25).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": np.full(230, 12)}, r"row = 12 somewhere, need 0 <= row < 12"),
        ({"slot": np.full(230, -1)}, r"slot = -1 somewhere, need 0 <= slot < 6"),
        ({"reward": np.full(230, np.nan)}, "NaN or infinity"),
        ({"reward": np.zeros(229)}, r"reward has shape \(229,\), need \(230,\)"),
    ],
)
def test_a_sample_that_cannot_be_fitted_is_refused(changes, message) -> None:
    design, given, _ = sample(np.random.default_rng(7))
    with pytest.raises(ValueError, match=message):
        predict(Params(), design, **(given | changes))
