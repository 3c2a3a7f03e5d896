"""The population: a function of its seed, centred effects, bounded indices."""

import numpy as np
import pytest

from envs.population import Effects, TaskType, draw_population
from envs.tasks import CLIP

TYPES = [TaskType(name="a", weight=1.0), TaskType(name="b", weight=3.0, description_length=3000)]
STRONG = Effects(difficulty=0.5, hidden=0.5, length=1.5, optimum=1.0, cliff=1.0)


def test_a_population_is_a_function_of_its_seed() -> None:
    one, two = (draw_population(TYPES, STRONG, count=20, seed=5) for _ in range(2))
    assert one[0].tasks == two[0].tasks
    assert all(np.array_equal(a, b) for a, b in zip(one[1], two[1], strict=True))
    assert one[0].tasks != draw_population(TYPES, STRONG, count=20, seed=6)[0].tasks


def test_a_task_type_does_not_depend_on_those_after_it() -> None:
    alone, both = (draw_population(TYPES[:n], STRONG, count=20, seed=5) for n in (1, 2))
    assert alone[0].tasks == both[0].tasks[:20]
    assert all(np.array_equal(a, b[:20]) for a, b in zip(alone[1], both[1], strict=True))


def test_rows_stand_by_task_type_and_share_traffic_by_weight() -> None:
    population, _ = draw_population(TYPES, STRONG, count=20, seed=5)
    assert population.names == ("a", "b")
    assert population.task.tolist() == [0] * 20 + [1] * 20
    assert (population.first.tolist(), population.count.tolist()) == ([0, 20], [20, 20])
    assert population.mix.tolist() == [0.25, 0.75]
    assert len(set(population.cluster.tolist())) == 40
    assert population.features.shape == (40, len(population.spec.names))
    assert np.all(np.abs(population.features) <= CLIP)


def test_effects_are_centred_within_each_task_type() -> None:
    _, latent = draw_population(TYPES, STRONG, count=64, seed=5)
    means = np.stack([np.reshape(leaf, (2, 64)).mean(axis=1) for leaf in latent])
    assert means == pytest.approx(np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), abs=1e-12)


def test_indices_are_cut_near_two_standard_deviations() -> None:
    _, latent = draw_population(TYPES, STRONG, count=512, seed=5)
    for leaf, size in ((latent.length, 1.5), (latent.optimum, 1.0), (latent.cliff, 1.0)):
        spread = np.abs(leaf) / size
        assert 1.5 < spread.max() < 2.2  # two, moved by centring what was cut


def test_without_effects_every_task_is_the_reference_task() -> None:
    _, latent = draw_population(TYPES, Effects(), count=20, seed=5)
    assert [set(leaf.tolist()) for leaf in latent] == [{1.0}, {0.0}, {0.0}, {0.0}]


def test_one_effect_alone_moves_one_latent_alone() -> None:
    _, latent = draw_population(TYPES, Effects(length=0.5), count=20, seed=5)
    assert [bool(np.ptp(leaf) > 0) for leaf in latent] == [False, True, False, False]


def test_task_types_differ_in_what_their_requests_look_like() -> None:
    population, _ = draw_population(TYPES, STRONG, count=256, seed=5)
    sizes = np.array([task.description_length for task in population.tasks]).reshape(2, 256)
    assert np.median(sizes, axis=1) == pytest.approx([600, 3000], rel=0.2)  # log-normal sd .8: SE of the median 6 %
