"""The command line as a whole: options before the command, and which commands there are."""

from pathlib import Path
from typing import Annotated

import typer

from spaces_client.commands import credentials, joins, rehearse, requests, spaces, tenants
from spaces_client.commands.session import Connect

_HELP = """Send requests to spaces and look after spaces.

The gateway and the key come from SPACES_URL and SPACES_API_KEY (or SPACES_API_KEY_FILE),
or from url and api_key_file in ~/.config/spaces/config.toml. HTTPS_PROXY and NO_COLOR are honoured.

\b
Examples:
  spaces submit echo "Hello"
  spaces submit read-image --image receipt.png
  spaces spaces create echo
  spaces requests --state failed

\b
Exit codes:
  0 done          1 internal error      2 wrong usage          3 settings wrong
  4 no gateway    5 not allowed         6 not found            7 refused
  8 not now (try again later)           10 request failed      11 request cancelled
  12 request expired                    13 not finished in the time to wait
  130 interrupted
"""


def connect(
    ctx: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="The gateway, such as https://spaces.example.com.")
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="A file that holds the API key alone.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Authorities to trust besides the system's, in PEM form.")
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds to wait for one answer; default 30.")
    ] = None,
) -> None:
    """The options before the command."""
    ctx.obj = Connect(url, api_key_file, ca_file, timeout_s)


def build_app() -> typer.Typer:
    """The command `spaces`."""
    app = typer.Typer(
        name="spaces",
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(connect)
    requests.add_to(app)
    rehearse.add_to(app)
    app.add_typer(spaces.build(), name="spaces")
    app.add_typer(credentials.build_tokens(), name="tokens")
    app.add_typer(joins.build(), name="joins")
    app.add_typer(credentials.build_keys(), name="keys")
    app.add_typer(tenants.build(), name="tenants")
    return app
