"""One signed bundle and another, made once: what the tests of this folder break, load and weigh."""

from pathlib import Path

import numpy as np
import pytest

from experiments.bundling.bundles import learned, learners, new_key, published, small_world
from experiments.bundling.tampering import Specimen


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, bytes]:
    """Two bundles, the first signed under a key, the second under another; that key."""
    place, known, world = tmp_path_factory.mktemp("bundles"), learners(), small_world()
    (sign, key), (forge, _) = (new_key(np.random.default_rng(seed)) for seed in (0, 1))
    first = published(place / "a", learned(world, known["thompson shared"], rounds=40), sign=sign)
    second = published(place / "b", learned(world, known["uniform"], rounds=1), sign=forge)
    return first, second, key


@pytest.fixture(scope="session")
def specimen(folders: tuple[Path, Path, bytes]) -> Specimen:
    """The same as bytes."""
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders[:2])
    return Specimen(first, second, folders[2])
