"""The form of a channel: its own fields, and those that its kind asks for. Called by `admin.py`.

A secret is never shown again: an empty field keeps what is stored. What is wrong is said at the field that it concerns.
"""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django import forms

from alert_bridge.channels import KINDS
from alert_bridge.channels.base import ChannelKind, Setting
from userdb.models import Channel
from userdb.models.tenants import DNS_LABEL
from userdb.secrets import SecretKeyError

FIELDS = (
    "name", "enabled", "language", "matchers", "tenants", "send_resolved", "resolved_without_firing", "repeat_after",
    "quiet_start", "quiet_end", "quiet_zone", "quiet_critical", "per_minute", "late_after",
)  # fmt: skip
"""Of every kind: what it is called, which alerts it wants (from the fourth on), and when."""
PREFIX = "setting_"
_KEEP = "Stored, and never shown again. Empty: keep it."


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """What all kinds share; `form_of` adds the kind's own fields."""

    kind_of_channel: ChannelKind

    class Meta:
        model = Channel
        fields = FIELDS
        labels = {
            "resolved_without_firing": "Send resolved without a firing before it",
            "quiet_start": "Quiet from",
            "quiet_end": "Quiet until",
            "quiet_zone": "Time zone of these",
            "quiet_critical": "Critical in quiet hours too",
            "per_minute": "Messages a minute",
        }
        help_texts = {
            "enabled": "Off: nobody is told through it. One that has told anything is kept for the record, and switched off.",
            "quiet_zone": "Whose clock, for instance Asia/Shanghai.",
            "quiet_critical": "",
            "per_minute": "What is owed beyond it is told in one digest. Empty: the kind's own limit.",
        }
        widgets = {"matchers": forms.Textarea(attrs={"rows": 3, "cols": 60, "style": "font-family: monospace"})}

    tenants = forms.CharField(
        required=False,
        help_text="Names of tenants, separated by commas. Empty: the alerts of all.",
        widget=forms.TextInput(attrs={"size": 60}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit = self.kind_of_channel.per_minute
        per_minute = self.fields.get("per_minute")
        if per_minute is not None:  # who may only look gets no fields
            per_minute.help_text = f"{str(per_minute.help_text).rstrip('.')}: {limit or 'none'}."
        self.initial["tenants"] = ", ".join(self.instance.tenants)
        self.held: dict[str, Any] = {}
        self.locked = ""
        try:
            self.held = self.instance.secrets if self.instance.pk else {}
        except SecretKeyError as error:
            self.locked = str(error)
        for setting in self.kind_of_channel.settings:
            field = self.fields[PREFIX + setting.name]
            if not setting.secret:
                field.initial = self.instance.config.get(setting.name, setting.default)
            elif setting.name in self.held:
                field.required, field.help_text = False, _KEEP
            elif self.locked:
                field.help_text = f"Can't be read: {self.locked}. Enter it again."
            forget = self.fields.get(f"forget_{setting.name}")
            if forget is not None and setting.name not in self.held and not self.locked:
                forget.widget = forms.HiddenInput()  # nothing is stored that could be forgotten

    def clean_tenants(self) -> list[str]:
        names = [name.strip() for name in self.cleaned_data["tenants"].split(",") if name.strip()]
        for name in names:
            DNS_LABEL(name)
        return list(dict.fromkeys(names))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        self.values = {s.name: self._value(s, cleaned) for s in self.kind_of_channel.settings}
        try:
            self.kind_of_channel.check(self.values)
        except ValueError as error:
            name, _, text = str(error).partition(": ")
            self.add_error(PREFIX + name if PREFIX + name in self.fields else None, text or name)
        return cleaned

    def _value(self, setting: Setting, cleaned: dict[str, Any]) -> str:
        given = str(cleaned.get(PREFIX + setting.name) or "")
        if setting.secret and not given and not cleaned.get(f"forget_{setting.name}"):
            return str(self.held.get(setting.name, ""))
        return given

    def save(self, commit: bool = True) -> Channel:
        kind = self.kind_of_channel
        self.instance.kind = kind.name
        self.instance.config = {s.name: self.values[s.name] for s in kind.settings if not s.secret}
        secret = {s.name: self.values[s.name] for s in kind.settings if s.secret and self.values[s.name]}
        self.changed_secrets = sorted(n for n in {*secret, *self.held} if secret.get(n) != self.held.get(n))
        if secret or self.changed_secrets or self.locked:
            # unchanged ones too: so does a rotated key come into force, and the old one can go
            self.instance.secrets = secret
        channel: Channel = super().save(commit)
        return channel


def _field(setting: Setting) -> forms.Field:
    common: dict[str, Any] = {"label": setting.label, "help_text": setting.help, "required": setting.required}
    if setting.choices:
        return forms.ChoiceField(choices=[(c, c) for c in setting.choices], **common)
    if setting.secret:
        # render_value is off: what was typed is not sent back either
        return forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60}), **common)
    return forms.CharField(widget=forms.TextInput(attrs={"size": 60}), **common)


def form_of(kind: str) -> type[ChannelForm]:
    """Return the form class of one kind of channel; KeyError when there is no such kind."""
    found = KINDS[kind]
    fields: dict[str, Any] = {"kind_of_channel": found, "__module__": __name__}
    for setting in found.settings:
        fields[PREFIX + setting.name] = _field(setting)
        if setting.secret and not setting.required:
            fields[f"forget_{setting.name}"] = forms.BooleanField(
                required=False, label=f"Forget the stored {setting.label.lower()}"
            )
    return type(f"{kind.title()}ChannelForm", (ChannelForm,), fields)
