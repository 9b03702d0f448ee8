"""The command `spaces`."""

from spaces_client.commands.app import build_app


def main() -> None:
    """Runs one command and exits with its code."""
    build_app()()


if __name__ == "__main__":
    main()
