"""The dashboards, in the order of an incident's questions: what is wrong now, whose, since when, what changed, who was told."""

from grafana.model import Page
from grafana.pages import chain, containers, history, overview, requests, tenant

PAGES: tuple[Page, ...] = (overview.PAGE, tenant.PAGE, containers.PAGE, requests.PAGE, history.PAGE, chain.PAGE)
