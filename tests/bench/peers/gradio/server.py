# mypy: ignore-errors
# (runs in the peer's own venv, whose packages are not installed in ours)
"""Gradio's queue in front of functions in its own process: `server.py PORT LIMIT`."""

import sys

import gradio as gr


async def echo(body):
    return body


async def tokens(count):
    text = ""
    for number in range(int(count)):
        text += f"token {number} "
        yield text


def main(port: int, limit: int) -> None:
    with gr.Blocks(analytics_enabled=False) as page:
        box, out = gr.JSON(), gr.JSON()
        gr.Button().click(echo, box, out, api_name="echo", concurrency_limit=limit)
        count, text = gr.Number(), gr.Textbox()
        gr.Button().click(tokens, count, text, api_name="tokens", concurrency_limit=limit)
    page.queue(default_concurrency_limit=limit, max_size=None)
    page.launch(server_name="127.0.0.1", server_port=port, quiet=True, inbrowser=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
