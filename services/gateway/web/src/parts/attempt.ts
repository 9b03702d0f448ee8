/** What a form does when it is sent: busy meanwhile, and the problem that it met. */
import { readonly, ref, shallowRef } from 'vue';

import { asProblem, type Problem } from '@/api/problem';

export function useAttempt(work: () => Promise<void>) {
  const busy = ref(false);
  const problem = shallowRef<Problem | null>(null);

  async function attempt(): Promise<void> {
    busy.value = true;
    problem.value = null;
    try {
      await work();
    } catch (error) {
      problem.value = asProblem(error);
    } finally {
      busy.value = false;
    }
  }

  return { busy: readonly(busy), problem, attempt };
}
