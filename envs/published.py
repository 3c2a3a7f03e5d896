"""Published numbers that a preset claims to reproduce, one record each, kept in its yaml."""

from dataclasses import dataclass, field

__all__ = ["MEASURES", "Published"]

MEASURES = (
    "quality",  # mean quality, failed calls as 0
    "failure",  # share of calls that fail
    "truncated",  # share of answers cut off at max_tokens
    "length_ratio",  # mean recorded length, failed calls as 0, over that at temperature 0.5
    "first_token_mean",  # mean time to the first token, ms
    "first_token_quantile",  # time within which a share `at` of first tokens arrive, ms
    "variance_ratio",  # variance of right-or-wrong answers over that within a problem
)


@dataclass(frozen=True)
class Published:
    """One number: what was measured, at which parameters, its value and how sure it is.

    Attributes:
        measure: one of `MEASURES`.
        task: task type; the first one when empty.
        temperature: at which it was measured; likewise the others, the baseline's when empty; max_tokens: no cap.
        at: share of calls, where the measure asks for one.
        value: as published.
        stderr: its standard error; 0 where none is known, then `tolerance` counts.
        tolerance: stated by us where two standard errors are not what is claimed.
        source: paper, table or file, and what was computed from it.
    """

    measure: str = field(metadata={"choices": MEASURES})
    value: float = field(metadata={"ge": -1e9, "le": 1e9})
    source: str
    task: str = ""
    temperature: str = ""
    max_tokens: str = ""
    top_p: str = ""
    frequency_penalty: str = ""
    presence_penalty: str = ""
    model: str = ""
    at: float = field(default=0.0, metadata={"ge": 0.0, "lt": 1.0, "unit": "share of calls"})
    stderr: float = field(default=0.0, metadata={"ge": 0.0, "le": 1e9})
    tolerance: float = field(default=0.0, metadata={"ge": 0.0, "le": 1e9})

    def __post_init__(self) -> None:
        """Refuse a number that nothing could contradict."""
        if not self.allowed > 0:
            raise ValueError("stderr and tolerance are 0, need one of them above 0")

    @property
    def allowed(self) -> float:
        """How far the simulated number may lie from the published one."""
        return self.tolerance or 2.0 * self.stderr
