"""Metric names are checked where they are made, and the whole scrape passes promtool."""

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spaces_chassis.batcher import BatcherMetrics
from spaces_chassis.bus.meters import BusMeters
from spaces_chassis.database import Database
from spaces_chassis.lifecycle import LoopMetrics
from spaces_chassis.metrics import Metrics


def all_of_the_chassis() -> Metrics:
    metrics = Metrics("test")
    bus = BusMeters(metrics)
    for labelled in (bus.received, bus.expired, bus.failures):
        labelled.labels("Submit").inc()
    bus.request_seconds.observe(0.1)
    batches = BatcherMetrics(metrics)
    batches.items.labels("submit").observe(3)
    batches.seconds.labels("submit").observe(0.1)
    batches.bisects.labels("submit").inc()
    loops = LoopMetrics(metrics)
    loops.failures.labels("sweep").inc()
    loops.seconds.labels("sweep").observe(0.1)
    Database("postgresql://nowhere", name="test", metrics=metrics)
    return metrics


def test_the_scrape_holds_ours_and_the_processs() -> None:
    body, content_type = all_of_the_chassis().render()
    assert content_type.startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"spaces_bus_connected", "spaces_database_connected", "spaces_batch_items"} <= names
    assert "process_resident_memory_bytes" in names
    assert not any(name.endswith("_created") for name in names)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("counter", "spaces_requests"),
        ("counter", "requests_total"),
        ("counter", "spaces_Requests_total"),
        ("gauge", "spaces_queue_total"),
        ("gauge", "queue_items"),
        ("histogram", "spaces_request_duration"),
        ("histogram", "spaces_request_milliseconds_"),
    ],
)
def test_a_bad_name_is_refused(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        getattr(Metrics("test"), kind)(name, "help")


def test_two_processes_metrics_do_not_meet() -> None:
    one, two = Metrics("one"), Metrics("two")
    one.counter("spaces_things_total", "Things").inc()
    two.counter("spaces_things_total", "Things").inc(5)
    assert b"spaces_things_total 1.0" in one.render()[0]
    assert b"spaces_things_total 5.0" in two.render()[0]


def test_promtool_finds_nothing_to_complain_about() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian and Ubuntu: apt install prometheus)")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=all_of_the_chassis().render()[0],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
