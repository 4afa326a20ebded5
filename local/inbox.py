"""A mailbox and a webhook receiver of the local run, with one page that shows what arrived.

It stands in for the admins' mail server and chat: real SMTP (aiosmtpd) and real HTTP. In: e-mails on one port, signed
webhooks by `POST /webhook` on the other. Out: one file a message below var/inbox, `GET /` for people, `GET /messages` (JSON).
"""

import argparse
import email
import email.policy
import hashlib
import hmac
import html
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiosmtpd.controller import Controller

from local import credentials
from local.places import INBOX
from runtime import logs
from runtime.flags import add_listen_flag, add_log_flags, exit_codes, stop_on_signals

log = logging.getLogger(__name__)
_BODY_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True)
class Letter:
    """One message that arrived."""

    id: int
    arrived_at: str
    way: str
    """`e-mail` or `webhook`."""
    title: str
    key: str
    """Idempotency key."""
    signature: str
    """`good`, `bad`; "" for an e-mail."""
    text: str


class Box:
    """The messages, one JSON file each; a second run goes on with them."""

    def __init__(self, folder: Path = INBOX) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._last = max((int(file.stem) for file in folder.glob("*.json")), default=0)

    def keep(self, way: str, title: str, key: str, text: str, signature: str = "") -> Letter:
        """Write one message to disk and return it."""
        with self._lock:
            self._last += 1
            arrived = datetime.now(UTC).isoformat(timespec="milliseconds")
            letter = Letter(self._last, arrived, way, title, key, signature, text)
            draft = self._folder / f".{letter.id}"
            with draft.open("w") as file:
                json.dump(asdict(letter), file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / f"{letter.id:08}.json")
        log.info("message arrived", extra={"way": way, "title": title, "key": key, "signature": signature or "none"})
        return letter

    def newest(self, most: int = 200) -> Iterator[Letter]:
        for file in sorted(self._folder.glob("*.json"), reverse=True)[:most]:
            yield Letter(**json.loads(file.read_text()))

    def letter(self, number: int) -> Letter | None:
        file = self._folder / f"{number:08}.json"
        return Letter(**json.loads(file.read_text())) if file.exists() else None


class Mailbox:
    """aiosmtpd's handler: takes every e-mail."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail: Any = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_body(("plain", "html"))
        headers = "\n".join(f"{name}: {mail[name]}" for name in ("From", "To", "Date", "Message-ID") if mail[name])
        text = body.get_content() if body else ""
        title = str(mail["Subject"] or "no subject")
        key = str(mail["X-Mission-Idempotency-Key"] or mail["Message-ID"] or "")
        self._box.keep("e-mail", title, key, f"{headers}\n\n{text}")
        return "250 kept"


def _signature_is_good(headers: Any, body: bytes, secret: str) -> bool:
    signed = headers.get("X-Mission-Timestamp", "").encode() + b"." + body
    expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers.get("X-Mission-Signature", ""))


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .4rem .6rem; }
tr + tr td { border-top: 1px solid #ddd; } td.time { white-space: nowrap; color: #666; }
pre { background: #f6f6f6; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; } .bad { color: #b00; }
"""


def _page(title: str, body: str, refresh: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}<title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{body}</body></html>\n"
    )


def _row(letter: Letter) -> str:
    return (
        f'<tr><td class="time">{letter.arrived_at[11:19]} UTC</td><td>{letter.way}</td>'
        f'<td><a href="/messages/{letter.id}">{html.escape(letter.title)}</a></td>'
        f'<td class="{letter.signature}">{letter.signature}</td></tr>'
    )


def _list_page(letters: list[Letter]) -> str:
    if not letters:
        empty = "<p>Nothing arrived yet: no alert was told through the e-mail or the webhook channel.</p>"
        return _page("Inbox", empty, '<meta http-equiv="refresh" content="3">')
    rows = "".join(map(_row, letters))
    table = f"<table><tr><th>Arrived</th><th>By</th><th>Message</th><th>Signature</th></tr>{rows}</table>"
    return _page("Inbox", table, '<meta http-equiv="refresh" content="3">')


def _letter_page(letter: Letter) -> str:
    text = html.escape(letter.text)
    about = f"<p>{letter.way}, arrived {letter.arrived_at}. Idempotency key <code>{html.escape(letter.key)}</code>.</p>"
    return _page(letter.title, f'{about}<pre>{text}</pre><p><a href="/">All messages</a></p>')


class _Handler(BaseHTTPRequestHandler):
    server: "Pages"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        name = path.removeprefix("/messages/")
        letter = self.server.box.letter(int(name)) if name.isdecimal() and len(name) < 9 else None
        if path == "/":
            self._answer(200, "text/html", _list_page(list(self.server.box.newest())))
        elif path == "/messages":
            self._answer(
                200, "application/json", json.dumps([asdict(found) for found in self.server.box.newest(10_000)])
            )
        elif letter is not None:
            self._answer(200, "text/html", _letter_page(letter))
        elif path == "/healthz":
            self._answer(200, "text/plain", "ok\n")
        else:
            self._answer(404, "text/plain", "not found: see /\n")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= _BODY_LIMIT:
            self._answer(413, "text/plain", "a body of 1 byte to 8 MiB, please\n")
            return
        body = self.rfile.read(length)
        try:
            document = json.loads(body)
            title = str(document["title"])
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, "text/plain", f"no message: {error!r}\n")
            return
        good = _signature_is_good(self.headers, body, self.server.secret)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        key = self.headers.get("Idempotency-Key", "")
        self.server.box.keep("webhook", title, key, text, "good" if good else "bad")
        self._answer(200, "application/json", '{"kept": true}')

    def _answer(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format % args)


class Pages(ThreadingHTTPServer):
    """Shows the box and takes webhooks."""

    daemon_threads = True

    def __init__(self, box: Box, secret: str, host: str, port: int) -> None:
        self.box, self.secret = box, secret
        super().__init__((host, port), _Handler)


def serve(arguments: argparse.Namespace) -> int:
    box, stop = Box(), stop_on_signals()
    secret = credentials.read("inbox-signing-secret")
    pages = Pages(box, secret, *arguments.web_listen_address)
    mail: Any = Controller(Mailbox(box), *arguments.smtp_listen_address, data_size_limit=_BODY_LIMIT)
    mail.start()
    threading.Thread(target=pages.serve_forever, name="pages", daemon=True).start()
    log.info("listening", extra={"pages": pages.server_port, "smtp": arguments.smtp_listen_address.port})
    stop.wait()
    pages.shutdown()
    mail.stop()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser("python -m local.inbox", description="Shows e-mails and webhooks that arrive.")
    add_listen_flag(parser, "127.0.0.1:8025", "pages and webhooks")
    add_listen_flag(parser, "127.0.0.1:1025", "SMTP", "smtp")
    add_log_flags(parser)
    arguments = parser.parse_args()
    logs.configure(arguments.log_level, arguments.log_format)
    run: Callable[[], int] = lambda: serve(arguments)  # noqa: E731
    return exit_codes("inbox", run)


if __name__ == "__main__":
    raise SystemExit(main())
