import { defineStore } from 'pinia';
import { computed, ref } from 'vue';

import type { AccessToken } from '@/api/access';
import { api } from '@/api/client';
import { problemOf } from '@/api/problem';
import type { Me, Permission } from '@/api/types';
import { link } from '@/live/link';

/** Who is signed in in this tab. */
export const useSession = defineStore('session', () => {
  const principal = ref<Me | null>(null);
  /** What pages offer; the gateway decides. */
  const permissions = computed<ReadonlySet<Permission>>(() => new Set(principal.value?.permissions));
  /** Why the last session ended, when nobody asked for it. */
  const endedByItself = ref(false);

  api.onSignedOut = () => {
    endedByItself.value = true;
    clear();
  };

  function may(...wanted: readonly Permission[]): boolean {
    return wanted.length === 0 || wanted.some((one) => permissions.value.has(one));
  }

  /** Goes on with the login of this browser's cookie; false when there is none. */
  async function resume(): Promise<boolean> {
    if (principal.value !== null) return true;
    if (!(await api.access.renew())) return false;
    await enter();
    return true;
  }

  async function signIn(name: string, password: string): Promise<void> {
    const answer = await api.call('/auth/jwt/login', {
      method: 'POST',
      body: new URLSearchParams({ username: name, password }),
    });
    api.access.take((await answer.json()) as AccessToken);
    await enter();
  }

  async function signOut(): Promise<void> {
    const answer = await fetch('/auth/jwt/logout', { method: 'POST' });
    if (!answer.ok && answer.status !== 401) throw await problemOf(answer);
    endedByItself.value = false;
    clear();
  }

  async function enter(): Promise<void> {
    principal.value = await api.get('/api/me');
    endedByItself.value = false;
    link.start();
  }

  function clear(): void {
    api.access.forget();
    principal.value = null;
    link.stop();
  }

  return { principal, permissions, endedByItself, may, resume, signIn, signOut };
});
