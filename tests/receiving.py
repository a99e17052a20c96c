"""Real receivers of alerts on loopback: a webhook and a mail server, which do as they are told and keep what came."""

import json
import re
import socketserver
import threading
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ID = re.compile(r"^id: ([0-9a-f]{16})$", re.MULTILINE)


def ids(text: str) -> list[str]:
    """The ids in a message."""
    return _ID.findall(text)


class Hook:
    """A webhook, for `json://`: what came, and the status that each is answered with."""

    def __init__(self) -> None:
        self.status = 200
        self.hang = threading.Event()
        """Set: a request is never answered, until it is cleared and `stopping` is set."""
        self.stopping = threading.Event()
        self.came: list[dict[str, Any]] = []
        """Bodies of all that was asked, also of what was refused."""
        self.taken: list[str] = []
        """Ids of what was answered well, in the order in which it came."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.came.append(body)
                if hook.hang.is_set():
                    self._drip()
                    return
                if hook.status == 200:
                    hook.taken.extend(ids(body["message"]))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                if hook.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _drip(self) -> None:
                """Answer, a byte at a time, so that no time limit of a read is met."""
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not hook.stopping.wait(0.5):
                    self.wfile.write(b"x")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = _HttpServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """As Apprise takes it, with something in it that is nobody's business."""
        return f"json://user:s3cr3t-password@127.0.0.1:{self._server.server_port}/s3cr3t-path"

    def __enter__(self) -> "Hook":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed."""


class Mailbox:
    """A mail server, for `mailto://`: as much of SMTP as it takes to hand over a message (RFC 5321)."""

    def __init__(self) -> None:
        self.refuses = False
        self.mails: list[Message] = []
        mailbox = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 mail.test")
                while line := self.rfile.readline():
                    word = line[:4].upper()
                    if word == b"DATA":
                        self._say("354 go on")
                        self._take()
                    elif word == b"RCPT" and mailbox.refuses:
                        self._say("550 nobody of that name")
                    else:
                        self._say("221 bye" if word == b"QUIT" else "250 mail.test")

            def _take(self) -> None:
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b"."))
                mailbox.mails.append(message_from_bytes(b"".join(lines)))
                self._say("250 taken")

            def _say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

        self._server = _MailServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """As Apprise takes it."""
        port = self._server.server_address[1]
        return f"mailto://127.0.0.1:{port}?from=tape@tape.test&to=ops@ops.test&mode=insecure"

    def __enter__(self) -> "Mailbox":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
