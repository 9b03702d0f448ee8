/** Something that is read when a page opens, and again while somebody looks. */
import { onScopeDispose, ref, shallowRef } from 'vue';

import { asProblem, type Problem } from '@/api/problem';

export function useReading<T>(read: () => Promise<T>, everyMs = 0) {
  const value = shallowRef<T | null>(null);
  const problem = shallowRef<Problem | null>(null);
  const busy = ref(false);
  let generation = 0;

  async function load(): Promise<void> {
    const mine = ++generation;
    busy.value = true;
    try {
      const found = await read();
      if (mine !== generation) return;
      value.value = found;
      problem.value = null;
    } catch (error) {
      if (mine === generation) problem.value = asProblem(error);
    } finally {
      if (mine === generation) busy.value = false;
    }
  }

  void load();
  const timer = everyMs
    ? setInterval(() => {
        if (document.visibilityState === 'visible' && !busy.value) void load();
      }, everyMs)
    : undefined;
  onScopeDispose(() => {
    generation += 1;
    clearInterval(timer);
  });
  return { value, problem, busy, load };
}
