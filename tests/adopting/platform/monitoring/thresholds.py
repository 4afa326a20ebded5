"""Thresholds, as the platform's own pages change them."""

from userdb import audit
from userdb.models import AlertPolicy


def change(policy: str, tenant: str, threshold: float, by: str) -> None:
    """Set the threshold of one tenant, or of all ("*"); Prometheus compares with it within a minute."""
    row = AlertPolicy.objects.filter(policy=policy, tenant=tenant).first()
    before = audit.picture(row)
    row = row or AlertPolicy(policy=policy, tenant=tenant)
    row.threshold, row.updated_by = threshold, by
    row.save()
    audit.record(by, "change" if before else "add", row, before, audit.picture(row))
