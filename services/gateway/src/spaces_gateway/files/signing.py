"""Addresses that work without a credential: for one file, one request, and a short time.

The signature covers what the address is for, so an address to read an input never opens an output, and the
other way round; a worker cannot get at a file by claiming that it is its output.
"""

import hmac
import secrets
from collections.abc import Sequence
from enum import StrEnum
from urllib.parse import quote, urlencode

from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.files import FileRef
from spaces_contracts.problems import Code

# Longer than a total timeout lasts: a result may be fetched and uploaded while the request ends.
MARGIN_S = 300
# How long the address of an output works after the request was read.
OUTPUT_S = 3600


class Purpose(StrEnum):
    """What an address is for."""

    INPUT = "input"
    OUTPUT = "output"
    UPLOAD = "upload"


class FileLinks:
    """Makes and checks signed paths on the gateway's origin. All gateways share the key."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")  # copied, which costs less than keying anew
        self._clock = clock

    def input_refs(
        self, files: Sequence[FileRef], request_id: str, lifetime_s: float
    ) -> list[FileRef]:
        """The files of a request, with addresses for its worker."""
        expires = self.expiry(lifetime_s + MARGIN_S)
        return [
            file.model_copy(update={"url": self._file(Purpose.INPUT, file, request_id, expires)})
            for file in files
        ]

    def output_refs(self, files: Sequence[FileRef], request_id: str) -> list[FileRef]:
        """The output files of a request, with addresses for whoever may read the request."""
        expires = self.expiry(OUTPUT_S)
        return [
            file.model_copy(update={"url": self._file(Purpose.OUTPUT, file, request_id, expires)})
            for file in files
        ]

    def upload_url(self, request_id: str, tenant_id: str, lifetime_s: float) -> str:
        """Where a worker sends the output files of one request; they will belong to the tenant."""
        expires = self.expiry(lifetime_s + MARGIN_S)
        signature = self.sign(Purpose.UPLOAD, tenant_id, request_id, expires)
        # Ids and hex need no quoting.
        return f"/api/results/{request_id}/files?tenant={tenant_id}&exp={expires}&sig={signature}"

    def check(
        self, purpose: Purpose, subject: str, request_id: str, expires: int, signature: str
    ) -> None:
        """Whether an address is ours and still good. Problems: signature_invalid, signature_expired."""
        expected = self.sign(purpose, subject, request_id, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise ProblemError.of(Code.SIGNATURE_INVALID, "This address was not made here.")
        if expires < self._clock.now().timestamp():
            raise ProblemError.of(Code.SIGNATURE_EXPIRED, "This address has expired.")

    def sign(self, purpose: Purpose, subject: str, request_id: str, expires: int) -> str:
        """HMAC-SHA256 in hex over everything that the address says."""
        text = "\n".join(("spaces-file-1", purpose, subject, request_id, str(expires)))
        code = self._keyed.copy()
        code.update(text.encode())
        return code.hexdigest()

    def expiry(self, lifetime_s: float) -> int:
        """Unix seconds."""
        return int(self._clock.now().timestamp() + lifetime_s) + 1

    def _file(self, purpose: Purpose, file: FileRef, request_id: str, expires: int) -> str:
        query = {
            "request": request_id,
            "exp": expires,
            "sig": self.sign(purpose, file.file_id, request_id, expires),
        }
        return f"/files/{quote(file.file_id)}?{urlencode(query)}"


def random_key() -> bytes:
    """A key for one process that was given none: its addresses die with it."""
    return secrets.token_bytes(32)
