"""Where the workers of a server leave connections for one of them, as open files.

Promises: what is left stays until it is taken, also while the worker is dead; how much is left is the kernel's own
count, so no two processes can disagree on it.
"""

from __future__ import annotations

import os
import socket
import struct
from fcntl import ioctl
from termios import FIONREAD

COUNT = struct.Struct("i")


class Inbox:
    """One worker's; given to all of them."""

    def __init__(self) -> None:
        # Of a stream the kernel tells all bytes that wait, of datagrams only those of the first. One is sent for each
        # connection, and no read goes beyond the first that came with a file.
        self._inside, self._slot = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (self._inside, self._slot):
            end.setblocking(False)

    def fileno(self) -> int:
        """What can be read when there is something to take."""
        return self._inside.fileno()

    def put(self, connection: socket.socket) -> None:
        """Leave a connection; the caller closes its own file. Raises OSError where there is no room."""
        socket.send_fds(self._slot, [b"."], [connection.fileno()])

    def take(self) -> list[socket.socket]:
        """The next connection, if it is whole still. Raises BlockingIOError where none waits, OSError where this
        process may open no file for it: then it goes on waiting."""
        os.close(os.dup(self._inside.fileno()))  # what is taken where no file is left is lost
        _, files, _, _ = socket.recv_fds(self._inside, 1, 1)
        return [socket.socket(fileno=file) for file in files]

    def count(self) -> int:
        """How many connections wait."""
        (waiting,) = COUNT.unpack(ioctl(self._inside, FIONREAD, bytes(COUNT.size)))
        return int(waiting)

    def close(self) -> None:
        """Give up both ends, in this process."""
        self._inside.close()
        self._slot.close()
