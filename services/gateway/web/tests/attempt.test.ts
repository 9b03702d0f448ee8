import { describe, expect, it } from 'vitest';

import { useAttempt } from '@/parts/attempt';

describe('an attempt', () => {
  it('is busy until it is over, and forgets the problem of the one before', async () => {
    let go: () => void = () => undefined;
    let fails = true;
    const { busy, problem, attempt } = useAttempt(async () => {
      await new Promise<void>((done) => (go = done));
      if (fails) throw new Error('no paper');
    });
    const first = attempt();
    expect(busy.value).toBe(true);
    go();
    await first;
    expect([busy.value, problem.value !== null]).toEqual([false, true]);
    fails = false;
    const second = attempt();
    expect(problem.value).toBeNull();
    go();
    await second;
    expect([busy.value, problem.value]).toEqual([false, null]);
  });
});
