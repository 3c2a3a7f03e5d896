"""How every test and doctest runs: one thread each, float64, no silent promotion.

Environment variables, not `jax.config`: they cost no import, reach the programs a test
starts, and give way to what the user has set.
"""

import os
from pathlib import Path

SETTINGS = {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_PLATFORMS": "cpu",
    "MPLBACKEND": "Agg",
    # The suite runs in parallel processes; more threads in each only get in the way.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)

PACKAGES = ("envs", "policies", "evaluators", "experiments")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out source files without a doctest: collecting them would import jax for nothing."""
    root = Path(__file__).parent
    if collection_path.suffix != ".py" or not collection_path.is_relative_to(root):
        return None
    if collection_path.relative_to(root).parts[0] not in PACKAGES:
        return None
    return None if ">>>" in collection_path.read_text(encoding="utf-8") else True
