"""How long a request will wait, from what the queue did so far. Pure."""


def eta_s(position: int | None, slots: int, mean_run_s: float | None) -> float | None:
    """Seconds until the request at that position starts (1 = next).

    None when nothing honest can be said: it does not wait, no worker is connected, or none has
    finished anything yet. All slots are taken to be busy and, on average, half done.
    """
    if position is None or position < 1 or slots < 1 or mean_run_s is None:
        return None
    return mean_run_s * (position - 0.5) / slots


def queue_eta_s(queue_size: int, free: int, slots: int, mean_run_s: float | None) -> float | None:
    """Seconds until a request that is submitted now starts: 0 when a slot is free for it."""
    if free > queue_size:
        return 0.0
    return eta_s(queue_size + 1, slots, mean_run_s)
