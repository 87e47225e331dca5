"""
The page that the browser loads: Rerun's viewer, with walls around it.

Rerun's own page asks the network for a font, for news of releases and examples, and sends usage
data from the browser. Here every answer carries a Content-Security-Policy by which a browser lets
the page talk to this machine's two ports and to nobody else.
"""

from __future__ import annotations

import http.client
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlsplit

LOCAL = '127.0.0.1'
COPIED = ('Content-Type', 'Content-Length', 'Content-Encoding', 'rerun-final-length')


def policy(grpc_port: int) -> str:
    """Return the Content-Security-Policy of the page."""
    return '; '.join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "worker-src 'self' blob:",
            f"connect-src 'self' http://{LOCAL}:{grpc_port} data: blob:",
            "frame-ancestors 'none'",
        )
    )


class Page(ThreadingHTTPServer):
    """
    Serves the viewer on this machine alone, from a thread of its own.

    :param port: where; 0 takes a free one.
    :param viewer_port: where Rerun serves its viewer.
    :param grpc_port: where Rerun serves the data.
    :raises OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, port: int, viewer_port: int, grpc_port: int) -> None:
        self.viewer_port, self.policy = viewer_port, policy(grpc_port)
        self.start = '/?url=' + quote(f'rerun+http://{LOCAL}:{grpc_port}/proxy', safe=':/')
        super().__init__((LOCAL, port), _Handler)
        threading.Thread(target=self.serve_forever, name='page', daemon=True).start()

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f'http://{LOCAL}:{self.server_port}'

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        if self.path == '/':
            self.send_response(302)
            self.send_header('Location', self.server.start)
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        connection = http.client.HTTPConnection(LOCAL, self.server.viewer_port, timeout=30)
        try:
            connection.request('GET', urlsplit(self.path).path)
            self._pass_on(connection.getresponse())
        except ConnectionError:  # the browser left, or the viewer ended
            self.close_connection = True
        finally:
            connection.close()

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name in COPIED:
            if (value := answer.getheader(name)) is not None:
                self.send_header(name, value)
        self.send_header('Content-Security-Policy', self.server.policy)
        self.end_headers()
        shutil.copyfileobj(answer, self.wfile)

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests."""
