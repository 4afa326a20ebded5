"""What the tests of the pages share: members of the staff with a role, and the text of a page as people read it."""

import html
import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client

Login = Callable[[str], Client]


def member(role: str, name: str = "alice") -> Client:
    """Return the browser of a member of the staff in this role's group and nothing else."""
    user = User.objects.create_user(name, password="right-horse", is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def text(answer: Any) -> str:
    """Return a page's words on one line, without its markup."""
    assert answer.status_code == 200, answer.status_code
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


def said(client: Client, answer: Any) -> str:
    """Return the messages that the page after a redirect shows."""
    assert answer.status_code == 302, answer.status_code
    page = client.get(answer["Location"])
    return " ".join(str(message) for message in page.context["messages"])
