"""axe-core in a page: what it finds that is serious or critical."""

from functools import cache
from pathlib import Path

from playwright.async_api import Page

SCRIPT = Path(__file__).parents[2] / "services/gateway/web/node_modules/axe-core/axe.min.js"
RUN = """async () => {
  const options = {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']};
  const found = await axe.run(document, options);
  const told = (node) => {
    const {fgColor, bgColor} = node.any[0]?.data ?? {};
    return node.html.slice(0, 160) + (fgColor ? ` (${fgColor} on ${bgColor})` : '');
  };
  return found.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map(told).join(' | ')}`);
}"""
STILL = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  await frame();
  const ends = document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity);
  await Promise.all(ends.map((one) => one.finished.catch(() => undefined)));
}"""


@cache
def _script() -> str:
    return SCRIPT.read_text(encoding="utf-8")


async def serious_findings(page: Page) -> list[str]:
    """One line a rule that is broken, with the elements."""
    # Colours in the middle of a transition are nobody's.
    await page.evaluate(STILL)
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_script())
    found: list[str] = await page.evaluate(RUN)
    return found
