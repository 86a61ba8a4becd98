"""Queue of connections from one process to another, as file descriptors over a pair of Unix sockets.

Guarantees: a connection stays queued until it is received, also while the receiving process is dead, or at its limit of
open files.
"""

from __future__ import annotations

import os
import socket


def open_queue() -> tuple[socket.socket, socket.socket]:
    """The sending and the receiving end."""
    # A stream: a read stops at the first byte that came with a descriptor.
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in ends:
        end.setblocking(False)
    return ends


def send_socket(queue: socket.socket, connection: socket.socket) -> None:
    """Send a connection, and close it in this process. Raises OSError when the queue is full."""
    socket.send_fds(queue, [b"."], [connection.fileno()])
    connection.close()


def receive_socket(queue: socket.socket) -> socket.socket | None:
    """The next connection; None when the other end is closed.

    Raises BlockingIOError when there is none, OSError at the limit of open files: then it stays queued.
    """
    os.close(os.dup(queue.fileno()))  # a descriptor received at the limit of open files would be lost
    _, files, _, _ = socket.recv_fds(queue, 1, 1)
    return socket.socket(fileno=files[0]) if files else None
