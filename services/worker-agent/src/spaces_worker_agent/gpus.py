"""Which GPUs this host has, as nvidia-smi tells it; none where it is absent."""

import subprocess

from spaces_contracts.connections import Gpu

_QUERY = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]


def list_gpus() -> list[Gpu]:
    """At most 64 GPUs; empty when there is no answer within 5 s."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", *_QUERY], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_gpus(answer.stdout)


def parse_gpus(text: str) -> list[Gpu]:
    """The GPUs in nvidia-smi's CSV; lines it cannot read are left out."""
    gpus = []
    for line in text.splitlines()[:64]:
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[0]:
            mebibytes = parts[1]
            vram = round(int(mebibytes) / 1024, 1) if mebibytes.isdigit() else None
            gpus.append(Gpu(name=parts[0], vram_gib=vram, driver=parts[2]))
    return gpus
