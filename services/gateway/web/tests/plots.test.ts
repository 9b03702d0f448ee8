import { describe, expect, it } from 'vitest';

import { plots } from '@/pages/admin/plots';
import { alone, height, timeWords } from '@/pages/admin/plotScales';

describe('axes of a plot', () => {
  it('end a little above the highest value', () => {
    expect(height(10)).toEqual([0, 11]);
  });

  it('have a line at one when nothing happened', () => {
    expect(height(0)).toEqual([0, 1]);
    expect(height(null)).toEqual([0, 1]);
  });

  it('say the time of day, and days when there are several', () => {
    const noon = new Date(2026, 0, 2, 12, 5).getTime() / 1000;
    expect(timeWords([noon], 3_600, 'en')).toEqual(['12:05']);
    expect(timeWords([noon], 7 * 86_400, 'en')).toEqual(['1/2']);
  });
});

describe('what a line does not show', () => {
  it('is a value between gaps', () => {
    expect(alone([1, null, 2, null, 3, 4, undefined, 5])).toEqual([0, 2, 7]);
    expect(alone([])).toEqual([]);
  });
});

describe('the platform over time', () => {
  const at = new Date(600_000).toISOString();
  const history = { step_s: 60, points: [{ at, accepted: 3, succeeded: 2, failed: 1, queued: 4, running: 1, run_p95_s: 2.5 }] };
  const [throughput, latency, queue] = plots(history as never, 660, 1);

  it('has steps without requests as nothing a minute', () => {
    expect(throughput?.columns[0]?.slice(-3)).toEqual([0, 3, 0]);
  });

  it('has steps without a measurement as gaps', () => {
    expect(latency?.columns[0]?.slice(-3)).toEqual([null, 2.5, null]);
    expect(queue?.columns[0]?.slice(-2)).toEqual([4, null]);
  });
});
