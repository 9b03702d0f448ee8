"""Reads one number out of a metrics page."""

from prometheus_client.parser import text_string_to_metric_families


def metric(page: str, name: str, **labels: str) -> float:
    """The sum of all samples of a metric that carry these labels; 0 when there is none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
