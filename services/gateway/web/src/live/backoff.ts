const FIRST_MS = 250;
const MOST_MS = 10_000;

/** How long to wait before try number `tries` (from 0): doubling, bounded, spread so that tabs do not come as one. */
export function backoffMs(tries: number, random: () => number = Math.random): number {
  const most = Math.min(MOST_MS, FIRST_MS * 2 ** tries);
  return most * (0.5 + random() / 2);
}
