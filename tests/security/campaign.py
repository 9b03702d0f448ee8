"""What a campaign found: one entry of build/reports/security.json."""

from dataclasses import dataclass, field


@dataclass
class Campaign:
    """Counts and findings. The lists say what and where; empty lists are what everybody wants."""

    campaign: str
    attempts: int = 0
    wrongly_allowed: list[str] = field(default_factory=list)
    wrongly_refused: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
