"""Connections handed from one process to another, as open files, through a pair of Unix sockets.

Promises: what is sent stays until it is received, also while the receiving process is dead; nothing is lost where the
receiving process may open no file.
"""

from __future__ import annotations

import os
import socket


def open_queue() -> tuple[socket.socket, socket.socket]:
    """The two ends: to send to, to receive from."""
    # A stream, of which no read goes beyond the first byte that came with a file.
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in ends:
        end.setblocking(False)
    return ends


def send_socket(queue: socket.socket, connection: socket.socket) -> None:
    """Send a connection, and close it in this process. Raises OSError where there is no room."""
    socket.send_fds(queue, [b"."], [connection.fileno()])
    connection.close()


def receive_socket(queue: socket.socket) -> socket.socket | None:
    """The next connection; None where the other end is closed.

    Raises BlockingIOError where none waits, OSError where this process may open no file for it: then it goes on
    waiting.
    """
    os.close(os.dup(queue.fileno()))  # what is received where no file is left is lost
    _, files, _, _ = socket.recv_fds(queue, 1, 1)
    return socket.socket(fileno=files[0]) if files else None
