"""One artifact, other CPUs: the vectors of this machine's CPU against those of emulated ones."""

import numpy as np
import pytest

from tests.performance.texts import LONG
from tests.support import qemu
from tests.texts import EVERYDAY, LANGUAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(qemu.unavailable() is not None, reason=str(qemu.unavailable())),
]

TEXTS = ["x", *LANGUAGES.values(), *EVERYDAY[::7], LONG[0]]

ON_ARM = 0.9995
"""The least cosine between the vectors of x86 and Arm, whose fp32 arithmetic differs in last bits."""


@pytest.fixture(scope="module")
def native(artifact) -> np.ndarray:
    """The vectors of this machine's CPU: float32 [texts, dimensions]."""
    return qemu.embed(artifact, TEXTS)


@pytest.mark.parametrize("cpu", ["Haswell", "EPYC-Rome"])
def test_older_x86(artifact, native, cpu):
    """Bit for bit: no sum of 8-bit products saturates without VNNI, and no fp32 sum depends on the vector width."""
    vectors = qemu.embed(artifact, TEXTS, cpu)
    cosines = (vectors * native).sum(1)
    assert cosines.min() >= 0.9999, dict(zip(TEXTS, cosines, strict=True))
    assert np.array_equal(vectors, native), f"{(vectors != native).any(1).sum()} of {len(TEXTS)} texts differ"


def test_arm(artifact, native):
    cosines = (qemu.embed(artifact, TEXTS, "neoverse-n1") * native).sum(1)
    assert cosines.min() >= ON_ARM, dict(zip(TEXTS, cosines, strict=True))
