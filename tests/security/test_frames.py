"""Bad frames hurt nobody; `make security` sends a hundred thousand of them."""

import pytest

from tests.security import frames


# The neighbour's thread makes its masks from `random` while frames are drawn.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
def test_bad_frames_hurt_nobody() -> None:
    found = frames.run(2_000)
    assert found.errors == []
    assert found.attempts >= 1_990
