"""A real HTTP server on this machine: a camera that streams JPEG pictures, and files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

BOUNDARY = "frame"


def _handler(connections: list[int]) -> type[BaseHTTPRequestHandler]:
    class Camera(BaseHTTPRequestHandler):
        """Streams as many pictures as the next connection has, and hangs up."""

        def do_GET(self) -> None:
            count = connections.pop(0) if connections else 0
            self.send_response(200 if count else 503)
            self.send_header("Content-Type", f"multipart/x-mixed-replace;boundary={BOUNDARY}")
            self.end_headers()
            for number in range(count):
                _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 10 * number, np.uint8))
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                self.wfile.write(head.encode() + b"\r\n\r\n" + jpeg.tobytes() + b"\r\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Camera


@contextmanager
def camera(*connections: int) -> Iterator[str]:
    """The URL of a camera that gives each connection that many pictures; 0 refuses it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(list(connections)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stream"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
