"""Ways to break RFC 6455 as a client, and the close code that each must be answered with."""

from tests.conformance.websocket.raw_socket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    closing,
    frame,
)

PROTOCOL_ERROR, BAD_DATA, TOO_BIG, NORMAL = 1002, 1007, 1009, 1000
_MIB = 1_048_576
_NOT_UTF8 = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"

VIOLATIONS: dict[str, tuple[bytes, int]] = {
    "a reserved bit": (frame(TEXT, b"x", reserved=4), PROTOCOL_ERROR),
    "another reserved bit": (frame(TEXT, b"x", reserved=2), PROTOCOL_ERROR),
    "all reserved bits": (frame(BINARY, b"x", reserved=7), PROTOCOL_ERROR),
    "a reserved bit on a ping": (frame(PING, reserved=1), PROTOCOL_ERROR),
    **{f"reserved opcode {op}": (frame(op, b"x"), PROTOCOL_ERROR) for op in (3, 7, 11, 15)},
    "an unmasked text": (frame(TEXT, b"x", masked=False), PROTOCOL_ERROR),
    "an unmasked ping": (frame(PING, masked=False), PROTOCOL_ERROR),
    "an unmasked close": (frame(CLOSE, b"\x03\xe8", masked=False), PROTOCOL_ERROR),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), PROTOCOL_ERROR),
    "a pong of 126 bytes": (frame(PONG, b"x" * 126), PROTOCOL_ERROR),
    "a close of 126 bytes": (closing(1000, b"x" * 124), PROTOCOL_ERROR),
    "a ping in pieces": (frame(PING, b"x", fin=False) + frame(CONT), PROTOCOL_ERROR),
    "a close in pieces": (frame(CLOSE, fin=False), PROTOCOL_ERROR),
    "a continuation of nothing": (frame(CONT, b"x"), PROTOCOL_ERROR),
    "an open continuation of nothing": (frame(CONT, b"x", fin=False), PROTOCOL_ERROR),
    "a text within a text": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), PROTOCOL_ERROR),
    "a close of one byte": (frame(CLOSE, b"x"), PROTOCOL_ERROR),
    **{
        f"close code {code}": (closing(code), PROTOCOL_ERROR)
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)
    },
    "a close whose reason is not UTF-8": (closing(1000, _NOT_UTF8), BAD_DATA),
    "a text that is not UTF-8": (frame(TEXT, _NOT_UTF8), BAD_DATA),
    "a text in pieces that is not UTF-8": (
        frame(TEXT, _NOT_UTF8[:7], fin=False) + frame(CONT, _NOT_UTF8[7:]),
        BAD_DATA,
    ),
    "a text that ends within a letter": (frame(TEXT, b"\xf0\x9f"), BAD_DATA),
    "a text of more than 1 MiB": (frame(TEXT, b"x" * (_MIB + 1)), TOO_BIG),
    "a text that promises 16 EiB less one": (frame(TEXT, b"x", length=2**63 - 1), TOO_BIG),
    "a text of more than 1 MiB in pieces": (
        frame(TEXT, b"x" * _MIB, fin=False) + frame(CONT, b"x"),
        TOO_BIG,
    ),
}

# Not broken: the peer may do this, and the answer is a plain close.
ALLOWED: dict[str, tuple[bytes, int]] = {
    "a close without a code": (frame(CLOSE), 1005),
    "a close within a text": (frame(TEXT, b"{", fin=False) + closing(1000), NORMAL),
    **{f"close code {code}": (closing(code), code) for code in (1000, 1001, 1012, 3000, 4999)},
}
