"""Several messages as one: a JSON text sequence (RFC 7464), for what goes to the same subject at the same time.

Most of what a small message costs is paid once for each that the broker carries, not for each byte.
"""

from collections.abc import Callable, Sequence

from spaces_chassis.bus.transport import Packet, Receive

# Starts each text of a sequence. No JSON text holds it: in strings it must be escaped.
SEPARATOR = b"\x1e"
# The broker takes 2 MiB; a sequence that grows beyond this is sent, and the next one begun.
MAX_BYTES = 256 * 1024

Send = Callable[[str, bytes, str | None], None]


def join(texts: Sequence[bytes]) -> bytes:
    """One body; a single text stays as it is."""
    if len(texts) == 1:
        return texts[0]
    return b"".join([SEPARATOR + text + b"\n" for text in texts])


def split(body: bytes) -> list[bytes]:
    """The texts of a body, which may be a single one."""
    if body[:1] != SEPARATOR:
        return [body]
    return [text.rstrip(b"\n") for text in body.split(SEPARATOR)[1:]]


def one_by_one(receive: Receive, is_async: bool) -> Receive:
    """Calls `receive` for each message of a sequence."""
    if is_async:

        async def receive_async(packet: Packet) -> None:
            for body in split(packet.body):
                outcome = receive(Packet(packet.subject, packet.reply_to, body, packet.headers))
                if outcome is not None:
                    await outcome

        return receive_async

    def receive_now(packet: Packet) -> None:
        if packet.body[:1] != SEPARATOR:
            receive(packet)
            return
        for body in split(packet.body):
            receive(Packet(packet.subject, packet.reply_to, body, packet.headers))

    return receive_now


class Collector:
    """Collects what one turn of the event loop publishes; `flush` sends it, in order within each subject."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._texts: dict[tuple[str, str | None], list[bytes]] = {}
        self._sizes: dict[tuple[str, str | None], int] = {}
        self.bytes = 0

    def add(self, subject: str, text: bytes, reply_to: str | None) -> None:
        """Keeps a message until `flush`, or sends what it no longer fits into."""
        key = (subject, reply_to)
        texts = self._texts.get(key)
        if texts is None:
            self._texts[key], self._sizes[key] = [text], len(text)
        else:
            if self._sizes[key] + len(text) > MAX_BYTES:
                self._send(subject, join(texts), reply_to)
                self.bytes -= self._sizes[key]
                texts.clear()
                self._sizes[key] = 0
            texts.append(text)
            self._sizes[key] += len(text)
        self.bytes += len(text)

    def __bool__(self) -> bool:
        return bool(self._texts)

    def flush(self) -> None:
        """Sends everything."""
        waiting, self._texts, self._sizes, self.bytes = self._texts, {}, {}, 0
        for (subject, reply_to), texts in waiting.items():
            self._send(subject, join(texts), reply_to)

    def drop(self) -> None:
        """Forgets everything: it would arrive too late."""
        self._texts, self._sizes, self.bytes = {}, {}, 0
