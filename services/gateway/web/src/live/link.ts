/** This tab's socket with the page around it: the browser's own news, and where the tickets come from. */
import { ref, readonly } from 'vue';

import { api } from '@/api/client';
import type { Problem } from '@/api/problem';

import { LiveSocket, type LinkState } from './socket';

const PROTOCOL = 'spaces.v1.json';

const state = ref<LinkState>('idle');
const retryAt = ref<number | null>(null);
let refused: (problem: Problem) => void = () => undefined;

export const link = new LiveSocket({
  ticket: async () => (await api.post('/api/ws-ticket')).ticket,
  open: () => new WebSocket(new URL('/ws', location.href.replace(/^http/, 'ws')), PROTOCOL),
  onState: (now, at) => {
    state.value = now;
    retryAt.value = at;
  },
  onRefused: (problem) => refused(problem),
});

/** How this tab is connected to the gateway; not to be taken for how a worker is. */
export const linkState = readonly(state);
export const linkRetryAt = readonly(retryAt);

/** Called once by the application. */
export function followBrowser(onRefused: (problem: Problem) => void): void {
  refused = onRefused;
  window.addEventListener('online', () => link.nudge());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') link.nudge();
  });
}
