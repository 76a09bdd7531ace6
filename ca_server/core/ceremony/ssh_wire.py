"""The types of SSH's wire format (RFC 4251 §5), read strictly: nothing missing or over, one spelling."""

from __future__ import annotations


class WireError(ValueError):
    """Bytes that are not what the format says they are."""


class WireReader:
    """Reads one value after the other from `data`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            WireError: there are not so many.
        """
        taken = self._data[self._position : self._position + count]
        if len(taken) != count:
            raise WireError("it ends too early")
        self._position += count
        return taken

    def byte(self) -> int:
        """The next byte, 0 to 255."""
        return self.take(1)[0]

    def uint32(self) -> int:
        """The next four bytes, as the number that they are."""
        return int.from_bytes(self.take(4))

    def string(self) -> bytes:
        """The next string: its length, then that many bytes."""
        return self.take(self.uint32())

    def text(self) -> str:
        """The next string, of printable ASCII.

        Raises:
            WireError: it is not.
        """
        text = self.string().decode("latin-1")
        if not (text.isascii() and text.isprintable()):
            raise WireError("a name in it is not printable ASCII")
        return text

    def positive(self) -> int:
        """The next mpint, which is above zero and as short as can be.

        Raises:
            WireError: it is not.
        """
        octets = self.string()
        value = int.from_bytes(octets, signed=True)
        if value <= 0 or octets != write_positive(value):
            raise WireError("a number in it is not positive, or not in its shortest form")
        return value

    def end(self) -> None:
        """Nothing may follow.

        Raises:
            WireError: something does.
        """
        if self._position != len(self._data):
            raise WireError("something follows its end")


def write_string(data: bytes) -> bytes:
    """A string: its length in four bytes, then itself."""
    return len(data).to_bytes(4) + data


def write_positive(value: int) -> bytes:
    """The bytes of a positive mpint, without their length: a zero byte goes before a set top bit."""
    return value.to_bytes(value.bit_length() // 8 + 1)
