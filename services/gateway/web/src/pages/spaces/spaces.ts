import { defineStore } from 'pinia';
import { computed, ref } from 'vue';

import { api } from '@/api/client';
import type { Space } from '@/api/types';

const PAGE = 200;

/** The spaces that the person sees, as they were read last; what moves by itself is in live/spaceStatus. */
export const useSpaces = defineStore('spaces', () => {
  const byId = ref(new Map<string, Space>());
  const cursor = ref<string | null>(null);
  const loaded = ref(false);
  const all = computed(() => [...byId.value.values()]);
  const more = computed(() => cursor.value !== null);

  async function load(): Promise<void> {
    const page = await api.get('/api/spaces', { query: { limit: PAGE } });
    byId.value = new Map((page.spaces ?? []).map((space) => [space.space_id, space]));
    cursor.value = page.next_cursor ?? null;
    loaded.value = true;
  }

  async function loadMore(): Promise<void> {
    const page = await api.get('/api/spaces', { query: { limit: PAGE, cursor: cursor.value } });
    for (const space of page.spaces ?? []) put(space);
    cursor.value = page.next_cursor ?? null;
  }

  function put(space: Space): void {
    byId.value.set(space.space_id, space);
  }

  function remove(spaceId: string): void {
    byId.value.delete(spaceId);
  }

  function matching(search: string): Space[] {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return all.value.filter((space) => {
      const text = `${space.name} ${space.description} ${space.tenant_name}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }

  return { all, loaded, more, load, loadMore, put, remove, matching };
});
