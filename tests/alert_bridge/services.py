"""Chat services as their documents describe them: signatures, limits and the codes in their answers. For `receiver`.

Each checks what it is sent as the real one does and says 200 to most of what it refuses.
"""

import base64
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.alert_bridge.receivers import Answer, status


def _said(code: int, body: dict[str, Any]) -> Answer:
    return status(code, json.dumps(body, ensure_ascii=False).encode(), Content_Type="application/json")


def _base64(key: str, text: bytes) -> str:
    return base64.b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest()).decode()


def _answering(decide: Any) -> Answer:
    """Return an answer that `decide(path, body)` chooses, after what arrived was counted."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        got = request.server.got  # type: ignore[attr-defined]
        decide(request.path, got[-1].body, len(got))(request)

    return answer


def dingtalk(secret: str) -> Answer:
    """A robot with the security setting "additional signature", which takes 20 messages."""

    def decide(path: str, body: bytes, count: int) -> Answer:
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        stamp = query.get("timestamp", "0")
        if abs(time.time() * 1000 - int(stamp)) > 3_600_000:
            return _said(200, {"errcode": 310000, "errmsg": "invalid timestamp"})
        if query.get("sign") != _base64(secret, f"{stamp}\n{secret}".encode()):
            return _said(200, {"errcode": 310000, "errmsg": "sign not match"})
        if len(body) > 20_000:
            return _said(200, {"errcode": 460101, "errmsg": "message too long, exceed 20000 bytes"})
        if count > 20:
            return _said(200, {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"})
        content = json.loads(body)
        if content["msgtype"] != "markdown" or not {"title", "text"} <= set(content["markdown"]):
            return _said(200, {"errcode": 40035, "errmsg": "invalid parameter"})
        return _said(200, {"errcode": 0, "errmsg": "ok"})

    return _answering(decide)


def feishu(secret: str) -> Answer:
    """A bot with signature check, which takes 5 messages."""

    def decide(path: str, body: bytes, count: int) -> Answer:
        content = json.loads(body)
        stamp = content.get("timestamp", "0")
        if abs(time.time() - int(stamp)) > 3600 or content.get("sign") != _base64(f"{stamp}\n{secret}", b""):
            text = "sign match fail or timestamp is not within one hour from current time"
            return _said(200, {"code": 19021, "data": {}, "msg": text})
        if len(body) > 20 * 1024:
            return _said(400, {"code": 9499, "data": {}, "msg": "Bad Request"})
        if count > 5:
            return _said(200, {"code": 11232, "data": {}, "msg": "frequency limited"})
        if content["msg_type"] != "interactive" or content["card"]["elements"][0]["tag"] != "markdown":
            return _said(200, {"code": 19002, "data": {}, "msg": "params error, msg_type need"})
        return _said(200, {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"})

    return _answering(decide)


def wecom(key: str) -> Answer:
    """A robot of a group, which takes 20 messages."""

    def decide(path: str, body: bytes, count: int) -> Answer:
        if parse_qs(urlsplit(path).query).get("key") != [key]:
            return _said(200, {"errcode": 93000, "errmsg": "invalid webhook url, hint: [1764000000]"})
        content = json.loads(body)
        if len(content["markdown"]["content"].encode()) > 4096:
            return _said(200, {"errcode": 40058, "errmsg": "markdown.content exceed max length 4096"})
        if count > 20:
            return _said(200, {"errcode": 45009, "errmsg": "api freq out of limit"})
        return _said(200, {"errcode": 0, "errmsg": "ok"})

    return _answering(decide)


def slack() -> Answer:
    """An incoming webhook, which takes one message a second: here, two."""

    def decide(path: str, body: bytes, count: int) -> Answer:
        try:
            text = json.loads(body)["text"]
        except (ValueError, KeyError):
            return status(400, b"invalid_payload")
        if not text:
            return status(400, b"no_text")
        if count > 2:
            return status(429, b"rate_limited", Retry_After="30")
        return status(200, b"ok", Content_Type="text/html")

    return _answering(decide)
