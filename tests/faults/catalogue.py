"""Every kind of fault, family by family."""

from tests.faults import clocks, disk, links, nats_faults, netns, postgres, processes
from tests.faults.kinds import Kind

KINDS: list[Kind] = [
    *processes.kinds(),
    *links.kinds(),
    *netns.kinds(),
    *disk.kinds(),
    *clocks.kinds(),
    *nats_faults.kinds(),
    *postgres.kinds(),
]
