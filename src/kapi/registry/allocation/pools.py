"""Sets of numbers that are handed out once: the addresses of a range, the ports of nodes.

Used by `allocate.py`. Nothing here awaits; one event loop, so no locks.
"""

from __future__ import annotations

import ipaddress

from kapi.clock import Entropy
from kapi.registry.allocation import addresses
from kapi.registry.allocation.addresses import Network

# The lower part of a range is left to explicit requests as long as the upper has room
# (KEP-3070, KEP-3682).
ADDRESS_BAND_MIN, ADDRESS_BAND_MAX = 16, 256
PORT_BAND_MIN, PORT_BAND_MAX = 16, 128
TAKEN_ADDRESS = "provided IP is already allocated"
TAKEN_PORT = "provided port is already allocated"
PICKS_MAX = 16  # random tries before the range is scanned in order


class AllocationError(Exception):
    """Why a number cannot be had, in the real server's words."""


class Pool:
    """Numbers from 0 to size - 1, each taken at most once. Not thread-safe: one event loop."""

    def __init__(self, size: int, reserved: int, entropy: Entropy) -> None:
        self.size = size
        self._reserved = min(reserved, size)  # the first ones are given out last
        self._entropy = entropy
        self._taken: set[int] = set()
        self._more: dict[int, int] = {}  # how many hold a number beside the first one

    def __contains__(self, number: int) -> bool:
        return number in self._taken

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, number: int) -> bool:
        """False if somebody has it."""
        if number in self._taken:
            return False
        self._taken.add(number)
        return True

    def hold(self, number: int) -> bool:
        """Take a number that is handed out already. False if it is not the only one; then it is
        free when all who hold it have freed it.
        """
        if self.take(number):
            return True
        self._more[number] = self._more.get(number, 0) + 1
        return False

    def free(self, number: int) -> None:
        more = self._more.pop(number, 0)
        if more > 1:
            self._more[number] = more - 1
        elif not more:
            self._taken.discard(number)

    def any(self) -> int | None:
        """Take a free number, of the upper part if it has one. None if all are taken."""
        if len(self._taken) >= self.size:
            return None
        for low, high in ((self._reserved, self.size), (0, self._reserved)):
            found = self._pick(low, high)
            if found is not None:
                self._taken.add(found)
                return found
        return None

    def _pick(self, low: int, high: int) -> int | None:
        span = high - low
        if span <= 0:
            return None
        for _ in range(PICKS_MAX):
            number = low + self._entropy.below(span)
            if number not in self._taken:
                return number
        start = self._entropy.below(span)
        return next(
            (n for i in range(span) if (n := low + (start + i) % span) not in self._taken),
            None,
        )


def band(size: int, divisor: int, low: int, high: int) -> int:
    """How many of a range's first numbers are kept for explicit requests."""
    return 0 if size < 2 * low else min(max(low, size // divisor), high)


class Addresses:
    """The addresses of one `--service-cluster-ip-range`; network and broadcast address stay
    free.
    """

    def __init__(self, network: Network, entropy: Entropy) -> None:
        self.network = network
        self.family = f"IPv{network.version}"
        last = 1 if network.version == 4 else 0
        # No service network is larger than 20 bits here, as on the real server's bitmap for IPv6.
        size = max(0, min(network.num_addresses, 2**24) - 1 - last)
        reserved = band(size, 16, ADDRESS_BAND_MIN, ADDRESS_BAND_MAX)
        self._pool = Pool(size, reserved, entropy)
        self._first = int(network.network_address) + 1

    def _offset(self, text: str) -> int | None:
        ip = addresses.parse_ip(text)
        if ip is None or ip.version != self.network.version or ip not in self.network:
            return None
        offset = int(ip) - self._first
        return offset if 0 <= offset < self._pool.size else None

    def take(self, text: str) -> None:
        """Raises AllocationError."""
        if not self._pool.take(self._inside(text)):
            raise AllocationError(TAKEN_ADDRESS)

    def hold(self, text: str) -> None:
        """For one that is handed out already. Raises AllocationError if it is not the only one, or
        out of range.
        """
        if not self._pool.hold(self._inside(text)):
            raise AllocationError(TAKEN_ADDRESS)

    def occupy(self, text: str) -> None:
        """Keep it from being handed out, if it could be."""
        offset = self._offset(text)
        if offset is not None:
            self._pool.take(offset)

    def _inside(self, text: str) -> int:
        offset = self._offset(text)
        if offset is None:
            ip = addresses.parse_ip(text)
            if ip is not None and ip.version == self.network.version and ip in self.network:
                raise AllocationError(
                    f"the provided IP ({text}) is not in the valid range. The range of valid IPs "
                    f"is {self.network}"
                )
            raise AllocationError("the provided network does not match the current range")
        return offset

    def any(self) -> str:
        """Raises AllocationError when the range is full."""
        offset = self._pool.any()
        if offset is None:
            raise AllocationError("range is full")
        return (
            str(ipaddress.ip_address(self._first + offset))
            if self.network.version == 4
            else (str(ipaddress.IPv6Address(self._first + offset)))
        )

    def free(self, text: str) -> None:
        offset = self._offset(text)
        if offset is not None:
            self._pool.free(offset)

    def taken(self, text: str) -> bool:
        offset = self._offset(text)
        return offset is not None and offset in self._pool


class Ports:
    """The ports of `--service-node-port-range`, first and last included."""

    def __init__(self, first: int, last: int, entropy: Entropy) -> None:
        self.first, self.last = first, last
        size = last - first + 1
        self._pool = Pool(size, band(size, 32, PORT_BAND_MIN, PORT_BAND_MAX), entropy)

    def take(self, number: int) -> None:
        """Raises AllocationError."""
        if not self._pool.take(self._inside(number)):
            raise AllocationError(TAKEN_PORT)

    def hold(self, number: int) -> None:
        """As `Addresses.hold`."""
        if not self._pool.hold(self._inside(number)):
            raise AllocationError(TAKEN_PORT)

    def _inside(self, number: int) -> int:
        if not self.first <= number <= self.last:
            raise AllocationError(
                "provided port is not in the valid range. The range of valid ports is "
                f"{self.first}-{self.last}"
            )
        return number - self.first

    def any(self) -> int:
        offset = self._pool.any()
        if offset is None:
            raise AllocationError("range is full")
        return self.first + offset

    def free(self, number: int) -> None:
        self._pool.free(number - self.first)

    def taken(self, number: int) -> bool:
        return number - self.first in self._pool
