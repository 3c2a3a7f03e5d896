"""The flagship: what it composes is the world's own reward, and its vector is what it says."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, norm

from envs import quality_noise
from envs.lattice import AxisRange, LatticeRanges, coordinates
from envs.population import TaskType
from envs.reward import RewardWeights
from envs.surfaces import llm_outcome
from envs.traffic import Context
from envs.world import Noise, Outcome, Scenario
from policies import constraints
from policies.base import Choice, Decision, Feedback, Policy, Question, Spec, Window
from policies.build import make_spec
from policies.decide import asked_in
from policies.learners.decomposed import Numbers, Params, State, make, ready
from policies.masses import TIE
from policies.parts import bills, lengths, quality
from policies.parts.curves import ONSETS
from tests.hand import generator, leaves

LIMITS = constraints.Params()
PLAIN = replace(Params(), shapes=256, hedge=0.98, n_draws=16)  # nearly all on the belief that can hold any surface
FREE, CAPS = RewardWeights(cost=80.0, latency=0.01, tokens=0.02, reservation=0.05, failure=0.3), 4


@cache
def world(worth: RewardWeights = FREE) -> Scenario:
    """5 temperatures x 4 caps x 2 top_p, one model; a best temperature, log-normal lengths, hardly any noise."""
    quiet = llm_outcome.Service(first_token_jitter=0.0, token_jitter=0.0)
    kind = TaskType(
        name="one", q0=0.8, t_star=0.8, k_t=0.5, cliff=20.0, runaway=0.0, length_median_1=float(np.exp(2.3 + 0.14 * 24))
    )
    params = llm_outcome.Params(
        name="still",
        lattice=LatticeRanges(
            AxisRange("0.4", "1.2", "0.2"), AxisRange("128", "512", "128"), AxisRange("0.9", "1", "0.1")
        ),
        baseline=llm_outcome.Baseline(temperature="1.0", max_tokens="384"),
        task_types=[kind, replace(kind, name="two")],
        service=quiet,
        reward=worth,
        noise=quality_noise.Params(kind="gaussian", sd=1e-9),
        contexts_per_type=3,
    )
    return llm_outcome.build(params)


def spec_of(params: Params = PLAIN) -> Spec:
    return make_spec(world(), LIMITS, params)


@cache
def built(params: Params = PLAIN) -> tuple[Policy, Numbers]:
    return make(spec_of(params).lean()), ready(params, spec_of(params))


def ids() -> np.ndarray:
    return np.arange(world().lattice.size, dtype=np.int32)


def question(prices: Any = (1.0, 1.0), task: int = 0) -> Question:
    return Question(world().population.features[:1], np.int32(task), np.array(prices, np.float64))


@cache
def window(approved: int, *, has_holes: bool = False) -> Window:
    """The window around an action, of a whole record or of one with gaps, so that some points have no largest cap."""
    here = world()
    recorded = here.recorded.copy()
    recorded[:, [3, 14, 15, 22, 23]] = not has_holes
    bounds = constraints.bounds(here.lattice, LIMITS, recorded=recorded)
    return constraints.window(spec_of().lean(), bounds, np.int32(approved), np.int32(0))


def decision(held: Window, *, task: int = 0, prices: Any = (1.0, 1.0)) -> Decision:
    features, span = world().population.features[0], np.float64(world().reward_span)
    return Decision(features, np.int32(task), np.int32(0), span, np.array(prices, np.float64), held)


def parts_of(action: int, row: int, normal: float) -> Outcome:
    """What the world answers to task `row`, its length at a normal's quantile."""
    here = world()
    noise = Noise(np.full(here.world.n_uniform, 0.5), np.full(here.world.n_normal, 0.0))
    noise.normal[0] = normal
    context = Context(np.int32(row), here.population.task[row], here.population.features[row], np.int32(0))
    return here.world.outcome(here.params, np.int32(0), context, np.int32(action), noise=noise)[0]


def told(state: State, action: int, parts: Any, *, params: Params = PLAIN, task: int = 0, valid: bool = True) -> State:
    policy, numbers = built(params)
    here = decision(window(action), task=task)
    chosen = Choice(here.window.incumbent, np.int32(action), np.int32(1 << 18))
    feedback = Feedback(np.float64(0.0), np.bool_(valid), Outcome(*(np.float64(x) for x in parts)))
    after: State = policy.update(numbers, state, here, chosen, feedback)
    return after


@cache
def taught(params: Params = PLAIN, n: int = 40, seed: int = 0) -> State:
    """Task type 0 after n answers at random actions, graded with noise."""
    rng = generator(seed)
    state: State = make(spec_of(params).lean()).init(built(params)[1])
    for _ in range(n):
        action = int(rng.integers(len(ids())))
        parts = parts_of(action, int(rng.integers(3)), float(rng.standard_normal()))
        graded = parts._replace(quality=np.clip(parts.quality + 0.15 * rng.standard_normal(), 0.0, 1.0))
        state = told(state, action, graded, params=params)
    return state


def shuffled(n: int) -> list[tuple[int, int, float]]:
    """Every action of every task of the type with n evenly spread lengths, in any order."""
    spread = norm.ppf((np.arange(n) + 0.5) / n).tolist()
    order = [(int(action), row, normal) for action in ids() for row in range(3) for normal in spread]
    return [order[i] for i in generator(1).permutation(len(order))]


@cache
def certain() -> State:
    """Task type 0 after 2,880 answers without noise."""
    state: State = make(spec_of().lean()).init(built()[1])
    for action, row, normal in shuffled(24):
        state = told(state, action, parts_of(action, row, normal))
    return state


@pytest.mark.slow
def test_what_is_composed_is_the_worlds_own_expected_reward() -> None:
    """Belief on the truth: within .01 of the exact reward at all 40 actions, whose values differ by more than .5.

    What is left: a smooth kernel's fit to the surface, whose quality below top_p = 1 has a kink.
    """
    policy, numbers = built()
    assert policy.outlook is not None
    truth = world().table()[:3].mean(axis=0)
    said = policy.outlook(numbers, certain(), question())
    assert np.ptp(truth) > 0.5
    assert np.abs(said - truth).max() < 0.01
    assert np.array_equal(certain().alarms, np.zeros((2, 3)))  # a world that stays rings no bell


def test_a_surface_of_the_family_is_composed_closer_still() -> None:
    """Quality is one of the 256 shapes at amplitude .7, a tenth of it where cut off: within .003 of the truth."""
    params, grid = replace(PLAIN, hedge=0.1), coordinates(spec_of().shape, ids())
    policy, numbers = built(params)
    shape = 0.7 * numbers.quality.shapes[:, numbers.quality.columns].sum(axis=1)[41]
    made, state = shape[grid[:, 0] * 2 + grid[:, 2]], policy.init(numbers)
    for action, row, normal in shuffled(8):
        parts = parts_of(action, row, normal)
        share = np.where(parts.truncated > 0.5, 0.1, 1.0)
        state = told(state, action, parts._replace(quality=made[action] * share), params=params)
    parts, table = world().parts()
    truth = (table + made * (1.0 - 0.9 * parts.truncated) - parts.quality)[:3].mean(axis=0)
    assert policy.outlook is not None
    assert np.abs(policy.outlook(numbers, state, question()) - truth).max() < 3e-3


@pytest.mark.slow
def test_the_exact_world_at_other_prices_is_composed_without_another_answer() -> None:
    """Output three times as dear, input twice: the truth moves by tokens times price, and so does the outlook."""
    policy, numbers = built()
    assert policy.outlook is not None
    parts, before = world().parts()
    price = np.array(world().prices[0]) / 1e6
    tokens_in = (parts.cost_usd - price[1] * parts.output_tokens) / price[0]
    dearer = 80.0 * (price[0] * tokens_in + 2.0 * price[1] * parts.output_tokens)
    truth = (before - dearer)[:3].mean(axis=0)
    assert np.abs(policy.outlook(numbers, certain(), question((2.0, 3.0))) - truth).max() < 0.01


def test_a_price_change_moves_the_recommended_point_at_once_and_nothing_learned() -> None:
    policy, numbers = built()
    assert policy.outlook is not None
    held = leaves(taught())
    now, then = (policy.outlook(numbers, taught(), question((1.0, f))).argmax() for f in (1.0, 60.0))
    caps = world().lattice.values("max_tokens")[coordinates(spec_of().shape, np.array([now, then]))[:, 1]]
    assert caps[1] < caps[0]
    assert leaves(taught()) == held


def test_what_an_answer_teaches_does_not_depend_on_the_price_it_was_paid_at() -> None:
    parts, state = parts_of(20, 1, 0.3), taught()
    policy, numbers = built()
    price = np.array(world().prices[0]) / 1e6
    tokens_in = (parts.cost_usd - price[1] * parts.output_tokens) / price[0]
    after = []
    for factors in ((1.0, 1.0), (3.0, 0.5)):
        cost = price[0] * factors[0] * tokens_in + price[1] * factors[1] * parts.output_tokens
        here = decision(window(20), prices=factors)
        chosen = Choice(here.window.incumbent, np.int32(20), np.int32(1 << 18))
        feedback = Feedback(np.float64(0.0), np.bool_(True), parts._replace(cost_usd=np.float64(cost)))
        after.append(policy.update(numbers, state, here, chosen, feedback))
    for one, two in zip(*after, strict=True):
        assert one == pytest.approx(two, abs=1e-9)


@pytest.mark.parametrize("n", [0, 5, 60])
def test_the_outlook_is_the_mean_of_rewards_composed_from_draws(n: int) -> None:
    """40,000 independent draws of quality, share kept and length curve: 40 means within 4.5 standard errors."""
    params, m = replace(PLAIN, hedge=0.4), 40_000
    (policy, numbers), rng, state = built(params), generator(3), taught(replace(PLAIN, hedge=0.4), n)
    own = State(*(leaf[0] for leaf in state))
    grid = coordinates(spec_of().shape, ids())
    point = grid[:, 0] * 2 + grid[:, 2]
    log = 0.5 * (own.moment**2 / own.precision - np.log(own.precision))
    weight = np.exp(log - log.max())
    which = rng.choice(len(weight), m, p=weight / weight.sum())
    amplitude = own.moment[which] / own.precision[which] + rng.standard_normal(m) / np.sqrt(own.precision[which])
    surface = numbers.quality.shapes[:, numbers.quality.columns].sum(axis=1)
    theta = own.theta[:, None] + own.root @ rng.standard_normal((len(own.theta), m))
    flat = numbers.quality.base[:, None] + numbers.quality.features @ theta
    is_shape = rng.random(m) < 1.0 / (1.0 + np.exp(-own.odds))
    whole = np.where(is_shape, surface[which].T * amplitude, flat)[point]
    kept = own.kept[1] / own.kept[0] + rng.standard_normal(m) / np.sqrt(own.kept[0])
    curves = np.exp(own.length - own.length.max()).ravel()
    curve, onset = np.divmod(rng.choice(len(curves), m, p=curves / curves.sum()), len(ONSETS))
    away = (numbers.heat[grid[:, 0]][:, None] >= np.array(ONSETS)[onset][None, :]).astype(int)
    over, sent = (t[away, curve[None, :], grid[:, 1][:, None]] for t in (numbers.length.over, numbers.length.sent))
    lost = bills.bill(numbers.worth[0], numbers.prices, (own.latency, own.asked))
    room = 0.05 * numbers.caps[grid[:, 1]] / 4096.0
    reward = whole * (1.0 - (1.0 - kept) * over) - lost.each[0] * sent / 1e3
    assert policy.outlook is not None
    said = policy.outlook(numbers, state, question()) + lost.fixed[0] + room
    assert np.all(np.abs(reward.mean(axis=1) - said) <= 4.5 * reward.std(axis=1) / np.sqrt(m))


def test_a_belief_has_the_outlook_for_a_mean_and_draws_around_it() -> None:
    policy, numbers = built()
    assert policy.belief is not None and policy.outlook is not None
    some = np.array([3, 39, 17, 3], np.int32)
    belief, whole = policy.belief(numbers, taught(), question(), some), policy.outlook(numbers, taught(), question())
    assert belief.mean == pytest.approx(whole[some], abs=1e-12)
    assert belief.draws.mean(axis=1) == pytest.approx(belief.mean, abs=1e-12)
    assert belief.draws.std(axis=1) == pytest.approx(belief.sd, abs=1e-12)
    every = policy.belief(numbers, taught(), question(), ids())
    assert belief.draws == pytest.approx(every.draws[some], abs=1e-12)  # one draw is one world, whoever asks


@pytest.mark.parametrize("part", Outcome._fields)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_outcome_with_a_part_missing_leaves_the_state_bit_equal(part: str, value: float) -> None:
    parts = parts_of(7, 0, 0.1)
    assert leaves(told(taught(), 7, parts)) != leaves(taught())
    assert leaves(told(taught(), 7, parts._replace(**{part: value}))) == leaves(taught())
    assert leaves(told(taught(), 7, parts, valid=False)) == leaves(taught())


def test_a_task_type_learns_nothing_from_another() -> None:
    state = taught()
    after = told(state, 12, parts_of(12, 4, 0.2), task=1)
    for one, two in zip(after, state, strict=True):
        assert np.array_equal(one[0], two[0])
    assert not np.array_equal(after.moment[1], state.moment[1])
    assert after.length[1] != pytest.approx(state.length[1])


def test_a_failure_is_graded_by_what_it_costs() -> None:
    """Failures at .3 each beside quality at 1: the grade of a failed call is -.3, as if quality had been."""
    failed = Outcome(0.0, 0.0, 500.0, 1e-4, 1.0, 0.0, 0.1)
    one, two = told(taught(), 6, failed), told(taught(), 6, failed._replace(quality=-0.3, failure=0.0))
    assert np.array_equal(one.moment, two.moment) and np.array_equal(one.theta, two.theta)
    assert lengths.weights(one.length[0]) == pytest.approx(lengths.weights(taught().length[0]), abs=1e-12)


def by_hand(numbers: Numbers, state: State, here: Decision, belief: Any) -> np.ndarray:
    """The vector slot by slot: wins of bolder draws, ties shared; part of each moves to the largest cap beside it."""
    feasible, k = here.window.feasible, len(here.window.feasible)
    grid = coordinates(spec_of().shape, here.window.action_ids)
    won = np.zeros(k)
    for draw in belief.draws.T:
        bold = belief.mean + numbers.own.bold * (draw - belief.mean)
        best = max(bold[i] for i in range(k) if feasible[i])
        ties = [i for i in range(k) if feasible[i] and bold[i] >= best - TIE * here.span]
        for i in ties:
            won[i] += 1.0 / len(ties) / belief.draws.shape[1]
    top = max(grid[i, 1] for i in range(k) if feasible[i])
    weight = np.exp(state.length[0] - state.length[0].max())
    runs = numbers.heat[grid[here.window.incumbent, 0]] >= np.array(ONSETS)
    chances = np.where(runs[None, :], numbers.length.over[1, :, top, None], numbers.length.over[0, :, top, None])
    share = numbers.own.longest * (weight * chances).sum() / weight.sum()
    probs, homeless = (1.0 - share) * won, 0.0
    offsets = spec_of().offsets
    for i in range(k):
        beside = [
            j
            for j in range(k)
            if feasible[j]
            and grid[j, 1] == top
            and (offsets[j][0], *offsets[j][2:]) == (offsets[i][0], *offsets[i][2:])
        ]
        if beside:
            probs[beside[0]] += share * won[i]
        else:
            homeless += share * won[i]
    return np.asarray(probs + homeless * won)


@pytest.mark.parametrize("approved", [0, 13, 18, 36])
@pytest.mark.parametrize("n", [0, 30])
def test_the_vector_is_that_of_a_direct_simulation(approved: int, n: int) -> None:
    params = replace(PLAIN, hedge=0.4)
    (policy, numbers), state = built(params), taught(params, n)
    for has_holes in (False, True):
        here = decision(window(approved, has_holes=has_holes))
        assert policy.belief is not None
        belief = policy.belief(numbers, state, asked_in(here), here.window.action_ids)
        probs = policy.probs(numbers, state, here, belief)
        assert probs == pytest.approx(by_hand(numbers, state, here, belief), abs=1e-12)
        assert probs.sum() == pytest.approx(1.0, abs=1e-12)
        assert np.all(probs[~here.window.feasible] == 0.0) and probs.min() >= 0.0


def test_mass_moves_to_the_largest_feasible_cap_only() -> None:
    """With `longest` at 0 none does; with it, every other point loses one and the same share of its mass to it."""
    state, vectors = taught(PLAIN, 30), []
    here = decision(window(17))  # 128 tokens are approved, 256 are in reach
    for longest in (0.0, 0.8):
        policy, numbers = built(replace(PLAIN, longest=longest))
        assert policy.belief is not None
        belief = policy.belief(numbers, state, asked_in(here), here.window.action_ids)
        vectors.append(policy.probs(numbers, state, here, belief))
    before, after = vectors
    caps = coordinates(spec_of().shape, here.window.action_ids)[:, 1]
    is_top = here.window.feasible & (caps == caps[here.window.feasible].max())
    others = ~is_top & (before > 0.0)
    assert before[others].sum() > 0.05
    share = 1.0 - after[others] / before[others]
    assert np.ptp(share) < 1e-12 and 0.2 < share[0] < 0.8
    assert after[is_top].sum() - before[is_top].sum() == pytest.approx(share[0] * before[others].sum(), abs=1e-12)
    assert np.all(after[is_top] >= before[is_top] - 1e-12)


def test_a_jump_in_quality_rings_and_forgets_in_part() -> None:
    """Grades of .8 sixty times, then .1: an answer says at most 1 nat, so not before the 7th; by the 20th it has.

    The alarm keeps a fifth of the evidence: precision above its prior falls to a fifth.
    """
    params = replace(Params(), shapes=256)
    rng, state = generator(4), make(spec_of(params).lean()).init(built(params)[1])
    parts, heard, prior = parts_of(13, 0, -1.0), [], Params().amplitude_sd ** -2.0
    for i in range(100):
        grade = (0.8 if i < 60 else 0.1) + 0.08 * rng.standard_normal()
        before, state = state, told(state, 13, parts._replace(quality=grade), params=params)
        if state.alarms[0, 0] > before.alarms[0, 0]:
            heard.append(i - 60)
            assert state.watch[0, 0] == 0.0
            assert (state.precision[0] - prior).max() < 0.25 * (before.precision[0] - prior).max()
    assert 6 <= heard[0] < 20
    assert quality.means(built(params)[1].quality, State(*(leaf[0] for leaf in state)).quality())[0][2] < 0.3


N_RUNS, N_ANSWERS = 80, 200


@pytest.mark.slow
def test_a_world_that_stays_rings_in_fewer_than_a_twentieth_of_runs() -> None:
    """80 worlds drawn wide, 200 answers each, graded items of scatter .2: the exact 97.5 % bound of each component.

    Answers wander over the whole lattice; the world's surface is not among the learner's.
    """
    params, rang = replace(Params(), shapes=256), np.zeros(3)
    grid = coordinates(spec_of().shape, ids())
    heat, cap = world().lattice.values("temperature")[grid[:, 0]], world().lattice.values("max_tokens")[grid[:, 1]]
    start = make(spec_of(params).lean()).init(built(params)[1])
    for run in range(N_RUNS):
        rng, state = generator(run), start
        cliff, width, top = rng.uniform(1.0, 2.2), rng.uniform(0.05, 0.3), rng.uniform(0.3, 0.9)
        means = top / (1.0 + np.exp((heat - cliff) / width)) * (1.0 - 0.2 * (grid[:, 2] == 0))
        median, action = np.exp(rng.uniform(4.5, 6.5)), int(rng.integers(40))
        for _ in range(N_ANSWERS):
            if rng.random() < 0.3:
                action = int(rng.integers(40))
            tokens, mean = median * np.exp(0.5 * rng.standard_normal()), means[action]
            cut = float(tokens > cap[action])
            mean, sent = mean * (1.0 - 0.8 * cut), min(tokens, cap[action])
            grade = rng.binomial(5, mean) / 5.0
            wait = 500.0 * np.exp(0.2 * rng.standard_normal()) + 15.0 * sent * np.exp(0.1 * rng.standard_normal())
            parts = Outcome(grade, sent, wait, (0.2 * 400 + 1.25 * sent) / 1e6, 0.0, cut, cap[action] / 4096.0)
            state = told(state, action, parts, params=params)
        rang += state.alarms[0] > 0
    assert np.all(beta.ppf(0.975, rang + 1, N_RUNS - rang) <= 0.05), rang


def test_a_world_that_cannot_be_composed_is_refused() -> None:
    spec = spec_of()
    with pytest.raises(ValueError, match="does not say what they are worth"):
        ready(PLAIN, spec._replace(worth=()))
    with pytest.raises(ValueError, match=r"knows no prices.*world\.reward\.cost=0"):
        ready(PLAIN, spec._replace(prices=()))
    costless = tuple((row[0], 0.0, *row[2:]) for row in spec.worth)
    assert ready(PLAIN, spec._replace(prices=(), worth=costless)).prices.tolist() == [[0.0, 0.0]]
