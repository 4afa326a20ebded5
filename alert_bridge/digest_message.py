"""A digest as a message: counts and the worst alerts for people, every member for machines. Called by `relay.py`."""

from typing import Any

from alert_bridge.channels.base import Message, Parts
from alert_bridge.digest_contents import WORST, Contents, Group, Member
from alert_bridge.message import DOCUMENT_VERSION, TITLE, VALUE, Writer, bridge_url, iso, line, text_of
from userdb.models import Notification

_GROUPS = 10


def write(notification: Notification, contents: Contents) -> Message:
    """Return the message of a digest, as its alerts stand now."""
    writer = Writer(notification.channel.language)
    url = f"{bridge_url()}/admin/userdb/notification/{notification.pk}/change/"
    verb = writer.say("missed" if contents.late else "digest")
    counts = {"verb": verb, "alerts": len(contents.alerts), "firing": contents.firing}
    worst = "".join(_called(writer, member) for member in contents.alerts[:1])
    title = writer.cut(line(writer.say("digest_title", worst=worst, **counts)), TITLE)
    parts = Parts(
        heading=writer.say("digest_heading", **counts),
        paragraphs=(_why(writer, contents),),
        facts=_facts(writer, contents),
        labels_title=writer.say("digest_groups"),
        labels=_groups(writer, contents.groups),
        links=((writer.say("digest_page"), url), *(_link(writer, contents, m) for m in contents.alerts[:WORST])),
        left_out=writer.say("left_out"),
    )
    document = _document(notification, contents, title, url)
    return Message(
        notification.key, notification.kind, title, text_of(parts), url, document, notification.created_at, parts
    )


def _called(writer: Writer, member: Member | Group) -> str:
    fingerprint = member.fingerprint if isinstance(member, Member) else ""
    name = line(writer.named(member.alertname, member.tenant, fingerprint))
    return writer.say("digest_group", severity=member.severity, name=name).strip()


def _why(writer: Writer, contents: Contents) -> str:
    reasons = {member.reason for member in contents.members}
    phrase = "late" if "late" in reasons else "over_limit" if "over_limit" in reasons else "failed"
    return writer.say(f"digest_{phrase}", count=len(contents.members), late=contents.late)


def _facts(writer: Writer, contents: Contents) -> tuple[tuple[str, str], ...]:
    firing = contents.firing
    kinds = (writer.say(f"digest_kind_{kind}", count=count) for kind, count in contents.kinds.items())
    first = min(member.caused_at for member in contents.members)
    return (
        (writer.say("digest_firing"), str(firing)),
        (writer.say("digest_resolved"), str(len(contents.alerts) - firing)),
        (writer.say("digest_stands_for"), writer.say("list").join(kinds)),
        (writer.say("digest_since"), iso(first) or ""),
    )


def _groups(writer: Writer, groups: list[Group]) -> tuple[tuple[str, str], ...]:
    shown = [
        (_called(writer, group), writer.say("digest_counts", firing=group.firing, resolved=group.resolved))
        for group in groups[:_GROUPS]
    ]
    if len(groups) > _GROUPS:
        shown.append((writer.say("digest_more", count=len(groups) - _GROUPS), writer.say("digest_more_text")))
    return tuple(shown)


def _link(writer: Writer, contents: Contents, member: Member) -> tuple[str, str]:
    phrase = "digest_alert_firing" if member.firing else "digest_alert_over"
    end = iso(member.ends_at) or writer.say("not_known")
    text = writer.say(phrase, name=_called(writer, member), start=iso(member.starts_at), end=end)
    summary = line(contents.summaries.get(member.alert, ""))
    if summary:
        text = writer.say("digest_summary", line=text, summary=summary)
    return writer.cut(text, VALUE), f"{bridge_url()}/admin/userdb/alert/{member.alert}/change/"


def _document(notification: Notification, contents: Contents, title: str, url: str) -> dict[str, Any]:
    return {
        "version": DOCUMENT_VERSION,
        "key": notification.key,
        "kind": notification.kind,
        "status": "firing" if contents.firing else "resolved",
        "title": title,
        "firing": contents.firing,
        "resolved": len(contents.alerts) - contents.firing,
        "late": contents.late,
        "messages": contents.kinds,
        "caused_at": iso(notification.cause_at),
        "digest_url": url,
        "members": [_entry(member) for member in contents.members],
    }


def _entry(member: Member) -> dict[str, Any]:
    return {
        "key": member.key,
        "kind": member.kind,
        "status": "firing" if member.firing else "resolved",
        "reason": member.reason,
        "fingerprint": member.fingerprint,
        "episode": member.episode,
        "alertname": member.alertname,
        "tenant": member.tenant,
        "severity": member.severity,
        "starts_at": iso(member.starts_at),
        "ends_at": None if member.firing else iso(member.ends_at),
        "caused_at": iso(member.caused_at),
        "alert_url": f"{bridge_url()}/admin/userdb/alert/{member.alert}/change/",
    }
