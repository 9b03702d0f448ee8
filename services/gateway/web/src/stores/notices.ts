import { defineStore } from 'pinia';
import { ref } from 'vue';

import { asProblem } from '@/api/problem';

export type Tone = 'info' | 'success' | 'error';

export interface Notice {
  id: number;
  tone: Tone;
  text: string;
  code?: string;
}

const SHOWN_MS = 6_000;

/** Short messages over the page. Errors stay until somebody closes them. */
export const useNotices = defineStore('notices', () => {
  const shown = ref<Notice[]>([]);
  let last = 0;

  function say(text: string, tone: Tone = 'success', code?: string): void {
    if (shown.value.some((one) => one.text === text && one.tone === tone)) return;
    const notice: Notice = { id: ++last, tone, text, ...(code === undefined ? {} : { code }) };
    shown.value.push(notice);
    if (tone !== 'error') setTimeout(() => close(notice.id), SHOWN_MS);
  }

  /** Something went wrong: its message and its code. */
  function fail(error: unknown): void {
    const problem = asProblem(error);
    say(problem.message, 'error', problem.code);
  }

  function close(id: number): void {
    shown.value = shown.value.filter((one) => one.id !== id);
  }

  return { shown, say, fail, close };
});
