"""Whoever may do a thing can, and nobody else, whatever they hold."""

import httpx2
import pytest

from spaces_contracts.permissions import HTTP_RULES
from tests.security import matrix
from tests.security.matrix_calls import CALLS
from tests.support.platform import Platform


def test_every_operation_of_the_document_is_tried(platform: Platform) -> None:
    document = httpx2.get(f"{platform.gateway_url}/openapi.json", trust_env=False).json()
    tried = set(CALLS) | set(matrix._CONTROLS)
    assert set(matrix.operations(document)) == tried == set(HTTP_RULES)


@pytest.mark.timeout(900)
async def test_nothing_is_wrongly_allowed_or_refused(platform: Platform) -> None:
    found = await matrix.run(platform.gateway_url, platform.admin_key)
    assert found.wrongly_allowed == []
    assert found.wrongly_refused == []
    assert found.errors == []
    assert found.attempts >= 2000
