"""The watch against a scripted API server: each rule of a reflector, one test."""

import json
import threading
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from exporters.route_management.pods import watch as watching
from exporters.route_management.pods.apiserver import configuration
from exporters.route_management.pods.backoff import Backoff
from runtime.settings import SettingsError
from tests.exporters.route_management.pods import cast
from tests.exporters.route_management.pods.apiserver import ApiServer
from tests.exporters.route_management.pods.conftest import Follower, until


def _count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"mission_pod_exporter_{name}_total", labels) or 0.0


def test_a_list_holds_the_pods_of_all_its_pages(
    server: ApiServer, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAGE", 2)
    follower.watch._page = 2
    for number in range(5):
        server.put(cast.pod(f"sim-{number}"))
    assert follower.step() == 0
    assert follower.names() == {f"sim-{number}" for number in range(5)}
    assert [query.get("continue") for query in server.asked("list")] == [None, "2", "4"]


def test_a_watch_begins_at_the_version_of_the_last_page(server: ApiServer, follower: Follower) -> None:
    follower.watch._page = 1
    server.put(cast.pod("a"))
    server.put(cast.pod("b"))
    server.page_hook = lambda number: server.put(cast.pod("c"), tell=False) if number == 1 else None
    follower.step()
    thread = follower.in_background()
    until(lambda: server.generation == 1)
    assert server.asked("watch")[0]["resourceVersion"] == str(server.version)
    server.end_watches()
    thread.join(5)


def test_a_list_that_expires_between_pages_is_made_again_without_pages(server: ApiServer, follower: Follower) -> None:
    follower.watch._page = 1
    server.put(cast.pod("a"))
    server.put(cast.pod("b"))
    server.page_hook = lambda number: server.refuse("list", 410, "Expired") if number == 0 else None
    assert follower.step() > 0
    assert follower.names() == set()
    assert follower.step() == 0
    assert follower.names() == {"a", "b"}
    assert "limit" not in server.asked("list")[-1]


def test_what_is_held_is_served_until_a_new_list_is_whole(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a"))
    server.put(cast.pod("b"))
    follower.step()
    server.delete("a", tell=False)
    server.put(cast.pod("c"), tell=False)
    seen: list[set[str]] = []
    server.page_hook = lambda number: seen.append(follower.names())
    follower.watch._page = 1
    follower.watch.list_again()
    follower.step()
    assert seen == [{"a", "b"}] * 2
    assert follower.names() == {"b", "c"}


def test_changes_are_followed(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a"))
    follower.step()
    thread = follower.in_background()
    server.put(cast.pod("b"))
    until(lambda: follower.names() == {"a", "b"})
    server.put(cast.pod("b", status={"phase": "Failed"}))
    until(lambda: 'pod="b"' in follower.text() and 'phase="Failed"} 1' in follower.text())
    server.delete("a")
    until(lambda: follower.names() == {"b"})
    server.end_watches()
    thread.join(5)
    assert follower.pauses == [0.0]


def test_a_watch_that_ends_goes_on_from_the_last_version_without_a_list(server: ApiServer, follower: Follower) -> None:
    follower.step()
    thread = follower.in_background()
    server.put(cast.pod("a"))
    until(lambda: follower.names() == {"a"})
    server.end_watches()
    thread.join(5)
    thread = follower.in_background()
    server.put(cast.pod("b"))
    until(lambda: follower.names() == {"a", "b"})
    server.end_watches()
    thread.join(5)
    assert len(server.asked("list")) == 1
    assert [int(query["resourceVersion"]) for query in server.asked("watch")] == [100, 101]


def test_a_bookmark_moves_the_version_and_nothing_else(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a"))
    follower.step()
    thread = follower.in_background()
    until(lambda: server.generation == 1)
    server.bookmark()
    server.end_watches()
    thread.join(5)
    assert follower.names() == {"a"}
    thread = follower.in_background()
    until(lambda: server.generation == 2)
    assert server.asked("watch")[1]["resourceVersion"] == str(server.version)
    server.end_watches()
    thread.join(5)


def test_a_watch_asks_for_bookmarks_and_a_random_end(server: ApiServer, follower: Follower) -> None:
    follower.step()
    for number in range(1, 5):
        thread = follower.in_background()
        until(lambda number=number: server.generation == number)
        server.end_watches()
        thread.join(5)
    asked = server.asked("watch")
    assert {query["allowWatchBookmarks"].lower() for query in asked} == {"true"}
    ends = [int(query["timeoutSeconds"]) for query in asked]
    assert all(300 <= end <= 600 for end in ends)
    assert len(set(ends)) > 1


def test_an_expired_watch_leads_to_a_new_list_after_a_pause(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a"))
    follower.step()
    server.delete("a", tell=False)
    server.compact()
    assert 0 < follower.step() <= 0.8
    assert follower.names() == {"a"}
    assert follower.step() == 0
    assert follower.names() == set()


def test_an_http_410_leads_to_a_new_list_too(server: ApiServer, follower: Follower) -> None:
    follower.step()
    server.refuse("watch", 410, "Gone")
    follower.step()
    follower.step()
    assert len(server.asked("list")) == 2


def test_a_version_from_the_future_leads_to_a_new_list(server: ApiServer, follower: Follower) -> None:
    follower.step()
    server.refuse("watch", 504, "Timeout", "Too large resource version: 200, current: 100")
    follower.step()
    follower.step()
    assert len(server.asked("list")) == 2


def test_a_server_that_always_says_expired_is_not_stormed(server: ApiServer, follower: Follower) -> None:
    server.refuse("watch", 410, "Expired", times=10)
    pauses = [follower.step() for _ in range(14)]
    assert [pause for pause in pauses if pause] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]


def test_retry_after_is_heeded_and_the_version_kept(server: ApiServer, follower: Follower) -> None:
    follower.step()
    server.refuse("watch", 429, "TooManyRequests", retry_after="17")
    server.refuse("watch", 503, "ServiceUnavailable", retry_after="19")
    assert [follower.step(), follower.step()] == [17.0, 19.0]
    assert len(server.asked("list")) == 1


def test_a_retry_after_of_a_day_is_not_believed(server: ApiServer, follower: Follower) -> None:
    server.refuse("list", 503, retry_after="86400")
    assert follower.step() == 120.0


def test_a_rotated_token_is_read_again(server: ApiServer, follower: Follower, tmp_path: Path) -> None:
    follower.step()
    server.tokens = {"second"}
    (tmp_path / "token").write_text("second")
    assert follower.step() > 0  # the old one is refused
    thread = follower.in_background()
    until(lambda: len(server.asked("watch")) == 2)
    server.put(cast.pod("a"))
    until(lambda: follower.names() == {"a"})
    server.end_watches()
    thread.join(5)


def test_forbidden_says_what_rbac_lacks_and_is_not_ready(server: ApiServer, follower: Follower) -> None:
    server.refuse("list", 403, "Forbidden", "pods is forbidden")
    follower.step()
    assert follower.health.trouble() == (
        "all namespaces: forbidden: its ClusterRole must allow the verbs list and watch on pods"
    )
    follower.step()
    assert follower.health.trouble() is None


def test_a_half_open_connection_is_given_up(server: ApiServer, tmp_path: Path) -> None:
    follower = Follower(server, tmp_path, read=0.2)
    follower.step()
    over = threading.Event()
    server.script("watch", lambda handler: handler.fall_silent(b"", over))
    before = _count("watches", result="silent")
    assert follower.step() > 0
    over.set()
    assert _count("watches", result="silent") == before + 1
    assert len(server.asked("list")) == 1


def test_a_cut_inside_a_chunk_loses_nothing(server: ApiServer, follower: Follower) -> None:
    follower.step()
    server.script("watch", lambda handler: handler.cut(b'{"type":"ADDED","object":{"metadata":{"na'))
    assert follower.step() > 0
    server.put(cast.pod("a"))
    thread = follower.in_background()
    until(lambda: follower.names() == {"a"})
    server.end_watches()
    thread.join(5)


def test_a_watch_that_ends_at_once_without_a_word_is_a_failure(server: ApiServer, follower: Follower) -> None:
    follower.step()

    def end(handler: object) -> None:
        handler.begin()  # type: ignore[attr-defined]
        handler.chunk(b"")  # type: ignore[attr-defined]

    server.script("watch", end)
    server.script("watch", end)
    assert [follower.step(), follower.step()] == [0.8, 1.6]


def test_a_server_that_is_away_is_tried_again(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a"))
    follower.step()
    server.close()
    assert [follower.step(), follower.step(), follower.step()] == [0.8, 1.6, 3.2]
    assert follower.names() == {"a"}


def test_pauses_are_jittered_and_start_again_after_two_healthy_minutes() -> None:
    now = [0.0]
    backoff = Backoff(lambda: now[0], lambda: 0.5)
    assert [backoff.failed() for _ in range(7)] == [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0]
    now[0] += 15.0 + 119
    assert backoff.failed() == 15.0
    now[0] += 15.0 + 121
    assert backoff.failed() == 0.4


def test_another_uid_under_a_name_is_another_pod(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a", uid="first"))
    follower.step()
    thread = follower.in_background()
    server.put(cast.pod("a", uid="second"))
    until(lambda: 'uid="second"' in follower.text())
    assert 'uid="first"' not in follower.text()
    server.end_watches()
    thread.join(5)


def test_being_deleted_is_not_deleted(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a"))
    follower.step()
    thread = follower.in_background()
    server.put(cast.pod("a", metadata={"deletionTimestamp": cast.at(60)}))
    until(lambda: "kube_pod_deletion_timestamp" in follower.text())
    assert follower.names() == {"a"}
    server.end_watches()
    thread.join(5)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"MODIFIED","object":{"metadata":{"name":"x"}}}',
        b'{"type":"MODIFIED","object":{"metadata":{"name":"x","uid":7,"resourceVersion":"1"}}}',
        b'{"type":"MODIFIED","object":{}}',
        b'{"type":"MODI',
        b"[]",
    ],
)
def test_an_object_that_can_not_be_read_is_counted_and_skipped(
    server: ApiServer, follower: Follower, line: bytes
) -> None:
    follower.step()
    thread = follower.in_background()
    before = _count("bad_objects")
    server.say(line)
    server.put(cast.pod("a"))
    until(lambda: follower.names() == {"a"})
    assert _count("bad_objects") == before + 1
    server.end_watches()
    thread.join(5)


def test_a_pod_that_is_deleted_goes_whatever_else_its_last_state_says(server: ApiServer, follower: Follower) -> None:
    server.put(cast.pod("a"))
    follower.step()
    thread = follower.in_background()
    odd = cast.pod("a") | {"spec": "none"}
    odd["metadata"]["resourceVersion"] = "102"
    server.say(json.dumps({"type": "DELETED", "object": odd}).encode())
    until(lambda: follower.names() == set())
    server.end_watches()
    thread.join(5)


def test_an_odd_pod_in_a_list_harms_no_other(server: ApiServer, follower: Follower) -> None:
    odd = cast.pod("odd")
    odd["spec"]["containers"] = "none"
    server.put(odd)
    server.put(cast.pod("a"))
    follower.step()
    assert follower.names() == {"a"}


def test_an_event_of_an_unknown_type_is_passed_over(server: ApiServer, follower: Follower) -> None:
    follower.step()
    before = _count("events", type="unknown")
    thread = follower.in_background()
    server.say(b'{"type":"RENAMED","object":{"metadata":{"resourceVersion":"102"}}}')
    server.put(cast.pod("a"))
    until(lambda: follower.names() == {"a"})
    assert _count("events", type="unknown") == before + 1
    server.end_watches()
    thread.join(5)


def test_it_is_ready_once_listed_and_until_five_minutes_of_silence(server: ApiServer, follower: Follower) -> None:
    assert follower.health.trouble() == "all namespaces: pods are not listed yet"
    follower.step()
    assert follower.health.trouble() is None
    follower.now += 299
    assert follower.health.trouble() is None
    follower.now += 2
    assert follower.health.trouble() == "all namespaces: nothing heard for 301 s"
    thread = follower.in_background()
    server.bookmark()
    until(lambda: follower.health.trouble() is None)
    server.end_watches()
    thread.join(5)


def test_one_namespace_is_asked_for_alone(server: ApiServer, tmp_path: Path) -> None:
    follower = Follower(server, tmp_path, namespace="beta")
    server.put(cast.pod("a", "alpha"))
    server.put(cast.pod("b", "beta"))
    follower.step()
    thread = follower.in_background()
    server.put(cast.pod("c", "alpha"))
    server.put(cast.pod("d", "beta"))
    until(lambda: "d" in follower.names())
    assert follower.names() == {"b", "d"}
    assert {query["namespace"] for _, query in server.requests} == {"beta"}
    server.end_watches()
    thread.join(5)


def test_without_a_cluster_it_says_which_flag_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SettingsError, match="in no pod of a cluster, and no --kubeconfig is given"):
        configuration(None)
