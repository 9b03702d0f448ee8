/** The picture that somebody chose for a space: fetched with the caller's token, since only who sees the space may. */
import { onMounted, onScopeDispose, ref, type Ref, watch } from 'vue';

import { api } from '@/api/client';
import { Problem } from '@/api/problem';
import type { Space } from '@/api/types';

export const COVER_TYPES: readonly string[] = ['image/png', 'image/jpeg', 'image/webp'];
export const MAX_COVER_BYTES = 512 * 1024;

/** What becomes of a space's cover when its form is saved. */
export type CoverChoice = { kind: 'keep' } | { kind: 'none' } | { kind: 'new'; file: File };

/** Why a file cannot be a cover, as far as the browser can tell; the gateway looks at its content. */
export function refusal(file: { size: number; type: string }): 'coverTooLarge' | 'coverNoPicture' | null {
  if (!COVER_TYPES.includes(file.type)) return 'coverNoPicture';
  return file.size > MAX_COVER_BYTES ? 'coverTooLarge' : null;
}

export async function saveCover(space: Space, choice: CoverChoice): Promise<Space> {
  const url = `/api/spaces/${space.space_id}/cover`;
  if (choice.kind === 'new') {
    const headers = { 'content-type': choice.file.type };
    return (await (await api.call(url, { method: 'PUT', body: choice.file, headers })).json()) as Space;
  }
  if (choice.kind === 'none' && space.cover) {
    return (await (await api.call(url, { method: 'DELETE' })).json()) as Space;
  }
  return space;
}

/** The address of the picture within this page; null until it is there, and when there is none. */
export function useCoverPicture(space: () => Space | null, element: Ref<HTMLElement | undefined>): Ref<string | null> {
  const address = ref<string | null>(null);
  const seen = ref(false);
  let asked = '';

  function show(blob: Blob | null): void {
    if (address.value) URL.revokeObjectURL(address.value);
    address.value = blob && URL.createObjectURL(blob);
  }

  async function load(): Promise<void> {
    const now = space();
    const wanted = now?.cover ? `${now.space_id}/${now.cover.cover_id}` : '';
    if (!seen.value || wanted === asked) return;
    asked = wanted;
    if (!now || !wanted) return show(null);
    try {
      const blob = await (await api.call(`/api/spaces/${now.space_id}/cover`)).blob();
      if (asked === wanted) show(blob);
    } catch (error) {
      // Without it the card has the colours of its name, which is no trouble to tell anybody of.
      if (!(error instanceof Problem)) throw error;
      if (asked === wanted) show(null);
    }
  }

  watch([space, seen], load);
  onMounted(() => {
    if (!element.value || typeof IntersectionObserver === 'undefined') {
      seen.value = true;
      return;
    }
    // Long lists fetch what is looked at.
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      seen.value = true;
    });
    observer.observe(element.value);
    onLeave.push(() => observer.disconnect());
  });
  const onLeave: (() => void)[] = [
    () => {
      asked = 'gone';
      show(null);
    },
  ];
  onScopeDispose(() => onLeave.forEach((leave) => leave()));
  return address;
}
