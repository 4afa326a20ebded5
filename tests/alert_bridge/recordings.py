"""What each recording of a real Alertmanager must become, written down by hand from what was posted to it.

One line an alert, in the order of its first appearance: its transitions | the messages owed to a channel that wants all.
F firing, R resolved, A refired (again), S superseded, U unheard; a message with `!` is void: its episode was over before
anything was sent, because the next one had opened; so is a return that ended before anybody asked the Alertmanagers about
it. One with `?` still waits for their word. Recordings in which nothing reached the receiver have no line.
"""

PLAIN = "F R | firing resolved"
FIRES = "F | firing"
TWICE = "F R F R | firing! resolved! firing resolved"
AGAIN = "F R A | firing resolved refired?"
RETURNED = "F R A R | firing resolved refired!"
LOST_END = "F S F | firing! firing"

EXPECTED: dict[str, list[str]] = {
    # the plain course
    "0.25.0/lifecycle": [PLAIN],
    "0.33.1/lifecycle": [PLAIN],
    "0.25.0/group_partial": [PLAIN, PLAIN, PLAIN, PLAIN],
    "0.25.0/two_groups": [PLAIN, PLAIN],
    "0.25.0/repeat": [FIRES],
    "0.33.1/repeat": [FIRES],
    "0.25.0/repeat_between_intervals": [FIRES],
    "0.25.0/flap": [TWICE],
    "0.25.0/resolved_then_refired_before_flush_in_group": [LOST_END, FIRES],
    "0.25.0/fire_and_resolve_within_group_wait": [],
    "0.25.0/resolved_only": [],
    "0.25.0/old_starts_at": [FIRES],
    "0.25.0/resolve_timeout": [RETURNED],
    "0.25.0/no_times": [PLAIN],
    "0.25.0/prometheus": [TWICE, TWICE],
    "0.25.0/annotations_change": [PLAIN],
    # what a body may hold: pod-05 of max_alerts appears for the first time when it has resolved
    "0.25.0/max_alerts": [PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, "U |"],
    "0.25.0/utf8": [PLAIN],
    "0.25.0/long_annotation": [FIRES],
    "0.25.0/common_labels": [FIRES, FIRES, FIRES, FIRES],
    # what the receiver answered: each retry is one more copy
    "0.25.0/answer_201_204": [PLAIN],
    "0.25.0/answer_301": [FIRES],
    "0.25.0/answer_302": [FIRES],
    "0.25.0/answer_302_not_followed": [FIRES],
    "0.25.0/answer_307": [FIRES],
    "0.25.0/answer_400": [PLAIN],
    "0.25.0/answer_400_then_resolved": [FIRES],
    "0.25.0/answer_401": [PLAIN],
    "0.25.0/answer_413": [PLAIN],
    "0.25.0/answer_429": [PLAIN],
    "0.25.0/answer_500": [PLAIN],
    "0.25.0/answer_500_long": [FIRES, FIRES],
    "0.25.0/answer_500_long_interval": [FIRES],
    "0.25.0/answer_503_retry_after": [PLAIN],
    "0.25.0/answer_none": [PLAIN],
    "0.25.0/hang": [FIRES],
    "0.25.0/hang_long_interval": [FIRES],
    "0.25.0/hang_with_timeout": [],
    "0.25.0/slow_200": [FIRES],
    "0.25.0/slow_200_other_groups": [FIRES, PLAIN],
    "0.25.0/down_fire": [PLAIN],
    "0.25.0/down_fire_and_resolve": [],
    "0.25.0/down_resolve": [PLAIN],
    "0.25.0/down_resolve_and_refire": [FIRES],
    # silences, routing, credentials
    "0.25.0/silence_then_expire": [PLAIN],
    "0.25.0/silence_resolve": [FIRES],
    "0.25.0/silenced_before": [FIRES],
    "0.25.0/mute_time": [FIRES],
    "0.25.0/send_resolved_false": [LOST_END, FIRES, FIRES],
    "0.25.0/bearer": [PLAIN],
    "0.25.0/bearer_file_missing": [FIRES],
    "0.25.0/url_with_credentials": [FIRES],
    "0.25.0/two_routes_one_receiver": [PLAIN],
    "0.25.0/two_routes_two_receivers": [PLAIN],
    "0.25.0/two_urls_one_fails": [PLAIN],
    # restarts
    "0.25.0/restart_sigterm": [PLAIN],
    "0.25.0/restart_sigkill": [PLAIN],
    "0.25.0/restart_sigterm_resolved_meanwhile": [PLAIN],
    "0.25.0/reload": [PLAIN],
    # a pair
    "0.25.0/pair_steady": ["F R F | firing! resolved! firing"] * 5,
    "0.25.0/pair_repeat": [FIRES],
    "0.25.0/pair_slow_receiver": [PLAIN],
    "0.25.0/pair_default_peer_timeout": [PLAIN],
    "0.25.0/pair_differing_views": [RETURNED],
    "0.25.0/pair_sigterm": [AGAIN, FIRES, FIRES],
    "0.25.0/pair_before_settled": [FIRES],
}
