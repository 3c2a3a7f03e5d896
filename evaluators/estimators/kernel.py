"""Kernel estimators for numeric knobs: rewards of nearby actions count, by their distance.

What is estimated is a smoothed target, which spreads the mass of each action a over the slots j the
logger could take, by a product kernel over `axes` normalised over those slots; on the other axes the
actions must agree. The weight is smoothed target / behavior. With a bandwidth below the grid's step
this is IPS. In the interior the bias is half the reward's curvature times the kernel's variance,
O(bandwidth^2). AT THE END OF AN AXIS the kernel has one side only: there the bias is the reward's
slope times the mean distance, O(bandwidth), and a target that has settled on an end is misjudged
towards its inner neighbours. The interval is for the smoothed target: it does not know the bias, and at
2,000 rows may miss the target itself one time in six. Read the estimate at two bandwidths.

`is_doubly_robust` smooths only the model's errors: part is the unsmoothed target's, and the bias is
that of smoothing r - q, so a model that knows the curvature, or the slope at an end, removes it.
Source: Kallus & Zhou (2018); on a finite window the normaliser is a sum, so the target that is judged is known.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.coordinates import whole_window
from evaluators.intervals import assisted
from evaluators.kernels import NAMES, between
from evaluators.reward_model import modelled
from evaluators.rows import Bools, Floats, Ints, Rows
from evaluators.scores import Table, importance

__all__ = ["Params", "smoothed", "table"]

NAME = "kernel"
ENTRIES = 2**21  # of the (rows, slots, slots) kernel held at once


@dataclass(frozen=True, slots=True)
class Params:
    """How far rewards are shared.

    Attributes:
        axes: columns of rows.points that are smoothed (see `coordinates`).
        bandwidths: one per axis, in its unit: half-width, or the Gaussian's standard deviation.

    Raises:
        ValueError: as many bandwidths as axes are needed, and at least one axis.
    """

    axes: tuple[int, ...] = field(default=(0,), metadata={"ge": 0, "le": 99, "unit": "columns of points"})
    bandwidths: tuple[float, ...] = field(default=(0.15,), metadata={"gt": 0.0, "le": 1e9, "unit": "of the axis"})
    kernel: str = field(default="epanechnikov", metadata={"choices": NAMES})
    is_doubly_robust: bool = False
    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=assisted.Params)

    def __post_init__(self) -> None:
        """Refuse bandwidths that do not fit the axes."""
        if len(self.bandwidths) != len(self.axes) or not self.axes or len(set(self.axes)) < len(self.axes):
            raise ValueError(
                f"axes {self.axes} and bandwidths {self.bandwidths}, need one bandwidth for each of >= 1 axes"
            )


def table(params: Params, rows: Rows, weight: Floats) -> Table:
    """Scores u r, or doubly robust sum_a target q + u (r - q), with u = smoothed target / behavior.

    Args:
        params: axes, bandwidths, kernel.
        rows: one target on one log, with `action_ids` and `points`.
        weight: (c, k) target / behavior; not read.

    Raises:
        ValueError: as `coordinates.whole_window`, or no reward model where one is asked for.
    """
    found = importance(smoothed(params, rows), rows.behavior)
    if not params.is_doubly_robust:
        return Table(part=0.0, weight=found)
    model = modelled(rows, NAME)
    return Table(part=np.vecdot(rows.target, model), weight=found, model=model)


def smoothed(params: Params, rows: Rows) -> Floats:
    """The target that is estimated: (c, k) sum_a target(a) K(a, j), 0 where the logger never goes.

    Mass with no feasible slot within reach of the kernel is lost, and shows as unsupported.

    Args:
        params: axes, bandwidths, kernel.
        rows: with `action_ids` and `points`.

    Raises:
        ValueError: as `coordinates.whole_window`.
    """
    ids, points = whole_window(rows, params.axes, NAME)
    others = [axis for axis in range(points.shape[1]) if axis not in params.axes]
    label = np.unique(points[:, others], axis=0, return_inverse=True)[1].reshape(-1)
    c, k = ids.shape
    found, size = np.empty((c, k)), max(ENTRIES // k**2, 1)
    for begin in range(0, c, size):
        part = slice(begin, begin + size)
        windows, inverse = np.unique(ids[part], axis=0, return_inverse=True)
        kernel = _kernel(params, points[:, list(params.axes)][windows], label[windows])
        if len(windows) > 1:
            kernel = kernel[inverse.reshape(-1)]
        found[part] = _spread(rows.target[part], kernel, rows.behavior[part] > 0)
    return found


def _kernel(params: Params, places: Floats, label: Ints) -> Floats:
    """(windows, k, k) of the slots of each window, 0 where the other axes differ."""
    product = between(params.kernel, places[:, :, None], places[:, None], bandwidths=params.bandwidths)
    return np.where(label[:, :, None] == label[:, None], product, 0.0)


def _spread(target: Floats, kernel: Floats, is_feasible: Bools) -> Floats:
    """(b, k) mass spread by a kernel (b or 1, k, k) that is normalised over the feasible slots."""
    reach = (kernel @ is_feasible[:, :, None].astype(np.float64))[..., 0]
    share = np.divide(target, reach, out=np.zeros_like(target), where=reach > 0)
    return np.asarray(np.where(is_feasible, (share[:, None] @ kernel)[:, 0], 0.0))
