/** One request with its story: read, and read again when the socket says that it moved. */
import { computed, onScopeDispose, shallowRef, watch } from 'vue';

import { api } from '@/api/client';
import { asProblem, type Problem } from '@/api/problem';
import type { RequestDocument } from '@/api/types';
import { pictureOf, useRequestFeeds } from '@/live/requestFeed';

import { type Details, isOver } from './types';

/** Changes that come together are read together. */
const TOGETHER_MS = 150;

export function useStory(id: () => string) {
  const details = shallowRef<Details | null>(null);
  const result = shallowRef<RequestDocument | null>(null);
  const problem = shallowRef<Problem | null>(null);
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Answers may overtake each other: only that to the last question is shown. */
  let asked = 0;

  async function load(): Promise<void> {
    const question = ++asked;
    try {
      const path = { request_id: id() };
      const read = await api.get('/api/requests/{request_id}/details', { path });
      const ended = isOver(read.state) ? await api.get('/api/requests/{request_id}', { path }) : null;
      if (question !== asked) return;
      details.value = read;
      result.value = ended;
      problem.value = null;
    } catch (error) {
      if (question === asked) problem.value = asProblem(error);
    }
  }

  useRequestFeeds(computed(() => (details.value && isOver(details.value.state) ? [] : [id()])));
  watch(id, () => {
    details.value = null;
    result.value = null;
    void load();
  }, { immediate: true });
  watch(
    () => {
      const picture = pictureOf(id());
      return picture && `${picture.state} ${picture.position.attempt} ${picture.cancelRequested} ${picture.place}`;
    },
    (now) => {
      if (now === undefined) return;
      clearTimeout(timer);
      timer = setTimeout(() => void load(), TOGETHER_MS);
    },
  );
  onScopeDispose(() => clearTimeout(timer));
  return { details, result, problem, load, picture: computed(() => pictureOf(id())) };
}
