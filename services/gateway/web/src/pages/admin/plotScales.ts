/** How a plot's axes are drawn: where they end, and what stands beside their lines. Pure. */

const DAY_S = 86_400;
/** Counts have nothing between one and two. */
export const WHOLE_STEPS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/** From nothing to a little above the highest; an empty plot still has a line at one. */
export function height(highest: number | null | undefined): [number, number] {
  return [0, highest ? highest * 1.1 : 1];
}

/** Hours of the day, or the days when there are several. */
export function timeWords(times: readonly number[], spanS: number, language: string): string[] {
  const shape: Intl.DateTimeFormatOptions =
    spanS > 1.5 * DAY_S ? { month: 'numeric', day: 'numeric' } : { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  const words = new Intl.DateTimeFormat(language, shape);
  return times.map((time) => words.format(time * 1000));
}

/** Values with a gap on both sides, which a line does not show. */
export function alone(values: readonly (number | null | undefined)[]): number[] {
  const isThere = (nth: number): boolean => values[nth] !== null && values[nth] !== undefined;
  return [...values.keys()].filter((nth) => isThere(nth) && !isThere(nth - 1) && !isThere(nth + 1));
}
