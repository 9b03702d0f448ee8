"""Addresses in requests for an upstream are found wherever servers would read them."""

from typing import Any

import pytest

from spaces_worker_agent.upstream_references import TooDeep, references

URL = "http://169.254.169.254/latest"


def user(*parts: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    "body",
    [
        user({"type": "image_url", "image_url": {"url": URL}}),
        user({"type": "image_url", "image_url": URL}),
        user({"type": "input_image", "image_url": URL}),
        user({"type": "video_url", "video_url": {"url": " " + URL}}),
        user({"type": "audio_url", "audio_url": {"url": "file:///etc/passwd"}}),
        user({"type": "image_url", "image_url": {"url": "/etc/passwd"}}),
        user({"type": "image_url", "image_url": {"url": "//host/x"}}),
        user({"type": "image", "image": URL}),
        user({"type": "image", "source": {"type": "x", "href": URL}}),
        user({"type": "video", "video": [URL]}),
        user({"type": "image_url", "image_url": {"URL": URL}}),
        {"messages": [], "image_url": URL},
        {"messages": [], "mm": {"imageUrl": URL}},
        {"messages": [], "api_base": "http://10.0.0.1"},
        {"messages": [], "base_url": "http://10.0.0.1"},
        {"messages": [], "image_urls": [URL]},
        {"messages": [], "tools": [{"type": "mcp", "server_url": URL}]},
    ],
)
def test_an_address_is_found(body: dict[str, Any]) -> None:
    (found,) = references(body)
    found.put("data:image/png;base64,eA==")
    assert references(body) == []
    assert "eA==" in str(body)


@pytest.mark.parametrize(
    "body",
    [
        user({"type": "text", "text": f"look at {URL}"}),
        user({"type": "text", "text": URL}),
        user({"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}),
        user({"type": "image_url", "image_url": {"url": "DATA:image/png;base64,eA=="}}),
        user({"type": "tool_result", "content": "Note: fine"}),
        {"messages": [{"type": "message", "role": "user", "content": URL}]},
        {"messages": [{"role": "user", "content": URL}], "stop": ["http://"]},
        {"messages": [], "tools": [{"function": {"parameters": {"url": {"type": "string"}}}}]},
        {"messages": None},
        {},
    ],
)
def test_text_and_content_are_no_addresses(body: dict[str, Any]) -> None:
    assert references(body) == []


def test_a_request_that_is_nested_too_deep_is_refused() -> None:
    node: dict[str, Any] = {}
    body = {"messages": node}
    for _ in range(100):
        node["a"] = node = {}
    with pytest.raises(TooDeep):
        references(body)
