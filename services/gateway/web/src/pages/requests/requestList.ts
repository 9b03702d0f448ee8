/** The list as a page has it: read by pages, kept current by the socket, read again when something was missed. */
import { onScopeDispose, ref, shallowRef, watch } from 'vue';

import { api } from '@/api/client';
import { asProblem, type Problem } from '@/api/problem';
import type { ChangesFrame, Frame, ListedChange } from '@/live/frames';
import { link, linkState } from '@/live/link';

import { type Filter, wanted } from './filter';
import { RequestRows, type Row } from './requestRows';

const PAGE = 100;
/** Names of new rows are asked for at most so often, and the newest page in any case now and then. */
const CATCH_UP_MS = 2_000;
const AGAIN_MS = 20_000;
/** Empty pages in a row that are gone through without being asked: the gateway looks through thousands for each. */
const GOES_ON = 5;

export function useRequestList(filter: () => Filter) {
  const rows = shallowRef<readonly Row[]>([]);
  const loading = ref(true);
  const hasMore = ref(false);
  const live = ref(false);
  const problem = shallowRef<Problem | null>(null);
  /** New rows that wait until the reader is at the top. */
  const held = ref(0);
  let list = new RequestRows(filter());
  let waiting: ListedChange[] = [];
  let atTop = true;
  let generation = 0;
  let catchUp: ReturnType<typeof setTimeout> | undefined;
  let stopWatching: () => void = () => undefined;

  function show(): void {
    rows.value = list.rows;
    hasMore.value = list.cursor !== null;
  }

  async function page(cursor: string | null) {
    const query = { ...wanted(filter(), Date.now()), limit: PAGE, ...(cursor ? { cursor } : {}) };
    return api.get('/api/requests', { query });
  }

  /** Runs one reading; what comes after the filter has changed is for nobody. */
  async function read(work: (mine: RequestRows) => Promise<void>): Promise<void> {
    const mine = generation;
    const onto = list;
    try {
      await work(onto);
      if (mine === generation) problem.value = null;
    } catch (error) {
      if (mine === generation) problem.value = asProblem(error);
    } finally {
      if (mine === generation) {
        loading.value = false;
        show();
      }
    }
  }

  async function refresh(): Promise<void> {
    await read(async (mine) => {
      const answer = await page(null);
      if (mine === list) mine.refresh(answer.requests, answer.next_cursor ?? null);
    });
    if (rows.value.length === 0 && hasMore.value) await more();
  }

  async function more(): Promise<void> {
    if (loading.value || list.cursor === null) return;
    loading.value = true;
    await read(async (mine) => {
      for (let turn = 0; turn < GOES_ON && mine.cursor !== null; turn++) {
        const answer = await page(mine.cursor);
        if (mine !== list) return;
        mine.append(answer.requests, answer.next_cursor ?? null);
        if (answer.requests.length) return;
      }
    });
  }

  function hear(frame: ChangesFrame): void {
    const changes = frame.changes ?? [];
    if (changes.length === 0 && !frame.missed) live.value = true;
    const shown = new Set(rows.value.map((row) => row.request_id));
    const held_back = atTop ? [] : changes.filter((one) => !shown.has(one.request_id));
    if (held_back.length) {
      waiting = [...waiting, ...held_back].slice(-1_000);
      held.value = new Set(waiting.map((one) => one.request_id)).size;
    }
    const now = held_back.length ? changes.filter((one) => shown.has(one.request_id)) : changes;
    const unknown = now.length > 0 && list.apply(now, Date.now());
    show();
    if ((unknown || frame.missed) && atTop) catchUpSoon();
  }

  function catchUpSoon(): void {
    catchUp ??= setTimeout(() => {
      catchUp = undefined;
      void refresh();
    }, CATCH_UP_MS);
  }

  /** The reader came to the top, or left it. */
  function reading(isAtTop: boolean): void {
    atTop = isAtTop;
    if (!atTop || waiting.length === 0) return;
    list.apply(waiting, Date.now());
    waiting = [];
    held.value = 0;
    show();
    catchUpSoon();
  }

  function watchLive(): void {
    stopWatching();
    live.value = false;
    const space = filter().space;
    const where = space ? { space_id: space } : {};
    stopWatching = link.watch({
      key: 'changes',
      subscribe: () => ({ type: 'subscribe', changes: true, ref: 'changes', ...where }),
      unsubscribe: { type: 'unsubscribe', changes: true, ...where },
      hear: (frame: Frame) => {
        if (frame.type === 'changes') hear(frame as unknown as ChangesFrame);
      },
    });
  }

  function begin(): void {
    generation += 1;
    list = new RequestRows(filter());
    waiting = [];
    held.value = 0;
    loading.value = true;
    show();
    watchLive();
    void refresh();
  }

  watch(filter, begin, { immediate: true });
  watch(linkState, (now, before) => {
    if (now !== 'live') live.value = false;
    else if (before === 'offline') void refresh();
  });
  const again = setInterval(() => {
    if (atTop && document.visibilityState === 'visible') void refresh();
  }, AGAIN_MS);
  onScopeDispose(() => {
    generation += 1;
    clearInterval(again);
    clearTimeout(catchUp);
    stopWatching();
  });

  return { rows, loading, hasMore, live, held, problem, more, refresh, reading };
}
