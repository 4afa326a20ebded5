"""Users, as Django has them, with a record of each change; who is no superuser makes none and changes none."""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from userdb import audit


class UserPage(UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "email", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = ("last_login", "date_joined")
        # else an administrator would be a superuser with two clicks
        return fields if request.user.is_superuser else (*fields, "is_superuser", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        if not request.user.is_superuser and queryset.filter(is_superuser=True).exists():
            raise PermissionDenied
        for user in queryset:
            self.delete_model(request, user)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.record(request.user.get_username(), "delete", obj, old=_picture(obj))
        super().delete_model(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        form.before = _picture(User.objects.filter(pk=obj.pk).first()) if change else None  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: ModelForm[Any], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        # groups and permissions are written only now
        after = _picture(form.instance)
        action = "change" if change else "add"
        audit.record(request.user.get_username(), action, form.instance, form.before, after)  # type: ignore[attr-defined]

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        answer = super().user_change_password(request, id, form_url)
        user = self.get_object(request, id)
        if request.method == "POST" and answer.status_code == 302 and user is not None:
            audit.record(request.user.get_username(), "set_password", user)
        return answer


def _may_touch(request: HttpRequest, obj: Any) -> bool:
    return bool(obj is None or request.user.is_superuser or not obj.is_superuser)


def _picture(user: User | None) -> dict[str, Any] | None:
    if user is None:
        return None
    return {
        **(audit.picture(user) or {}),
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "user_permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }
