"""What a machine does not allow is left out and named."""

import pytest

from tests.faults import network_namespace, rig
from tests.faults.network_namespace import NetworkNamespace


def test_a_namespace_that_cannot_be_made_is_missing_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*command: str, **_: object) -> None:
        raise OSError(f"{command[0]}: Operation not permitted")

    monkeypatch.setattr(network_namespace, "_run", refused)
    monkeypatch.setattr(rig, "no_namespaces", lambda: None)
    missing: dict[str, str] = {}
    assert rig._namespace(missing) is None
    assert "Operation not permitted" in missing["namespace"]


def test_without_root_there_are_no_namespaces_and_no_small_disks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    missing: dict[str, str] = {}
    assert rig._namespace(missing) is None
    assert missing == {"namespace": "network namespaces need root"}


@pytest.mark.skipif(network_namespace.no_namespaces() is not None, reason="needs root, ip and nft")
@pytest.mark.netns
def test_faults_of_a_namespace_can_be_made_and_healed() -> None:
    try:
        space = NetworkNamespace()
    except OSError as error:
        pytest.skip(f"namespaces are not allowed here: {error}")
    try:
        space.lose(10)
        space.heal()
        for chain in ("input", "output"):
            space.drop(chain)
            space.heal()
        space.bandwidth(256)
        space.link_down()
        space.heal()
    finally:
        space.close()
