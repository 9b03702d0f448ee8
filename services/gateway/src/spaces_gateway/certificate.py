"""The gateway's certificate: checked at start, read again when its files change, so that a renewal needs no restart."""

import ssl
from pathlib import Path

import structlog

from spaces_chassis.settings import SettingsError

log = structlog.get_logger(__name__)


class Certificate:
    """A TLS context whose certificate is that of the files."""

    every_s = 30.0

    def __init__(self, chain: Path, key: Path | None = None) -> None:
        """Raises SettingsError that says what is wrong with the files."""
        self._chain = chain
        self._key = key or chain
        self._seen = self._stamps()
        self.context = _context()
        self._load(self.context)

    async def step(self) -> None:
        """Takes renewed files, once they belong together; connections that are open keep theirs."""
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return
            # Tried aside first: a chain whose key is not written yet would break the one in use.
            self._load(_context())
            self._load(self.context)
        except SettingsError as error:
            log.warning("certificate_not_renewed", problem=str(error))
            return
        self._seen = stamps
        log.info("certificate_renewed", file=str(self._chain))

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = "the key needs a password" if isinstance(error, _Locked) else str(error)
            raise SettingsError(
                f"TLS: {self._chain} and {self._key} are no certificate with its key ({reason})"
            ) from None

    def _stamps(self) -> list[tuple[int, int, int]]:
        stamps = []
        for file in (self._chain, self._key):
            try:
                found = file.stat()
            except OSError as error:
                raise SettingsError(f"TLS: cannot read {file}: {error.strerror}") from None
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return stamps


class _Locked(ValueError):
    pass


def _no_password() -> str:
    raise _Locked  # else OpenSSL asks the terminal, and the process hangs


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context
