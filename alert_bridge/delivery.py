"""One message through one channel: settings checked, secrets opened, every error told as a DeliveryError without a secret.

Called by `relay.py` for what is owed and by `admin.py` for a test; both outside any transaction.
"""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

from alert_bridge.channels import KINDS
from alert_bridge.channels.base import DeliveryError, Message, PermanentError, Receipt, TemporaryError
from userdb.models import Channel
from userdb.secrets import SecretKeyError

log = logging.getLogger(__name__)


def deliver(channel: Channel, write: Callable[[], Message]) -> Receipt:
    """Send what `write` makes; raise DeliveryError with nothing secret in it, and nothing else."""
    kind = KINDS[channel.kind]
    try:
        given = {s.name: s.default for s in kind.settings} | channel.config | channel.secrets
    except SecretKeyError as error:
        raise TemporaryError("secret_key", str(error)) from error
    values = {name: str(value) for name, value in given.items()}
    try:
        kind.check(values)
    except ValueError as error:
        raise PermanentError("misconfigured", kind.shown(str(error), values)) from None
    try:
        receipt = kind.send(values, write())
    except DeliveryError as error:
        answer = kind.shown(error.answer, values)
        raise type(error)(error.reason, answer, error.status, error.retry_after) from None
    except Exception as error:  # noqa: BLE001  (said in the log, kept as the try's result)
        # a defect of ours must not be tried every few seconds for ever: it counts as a failed try. The error's own text
        # may hold a secret, its kind and place do not
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        log.error("a message could not be made or sent", extra={"channel": channel.name, "error": text})
        raise TemporaryError("internal", text) from None
    return Receipt(receipt.status, kind.shown(receipt.answer, values))
