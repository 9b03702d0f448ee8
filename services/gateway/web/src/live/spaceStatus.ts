/** What changes by itself in spaces: whether a worker is there, and the queue. Shared by all who look at a space. */
import { onScopeDispose, reactive, type Ref, watch } from 'vue';

import type { Frame, SpaceFrame } from './frames';
import { link } from './link';

export interface SpaceStatus {
  connected: boolean;
  connections: number;
  queueSize: number;
  running: number;
}

const known = reactive(new Map<string, SpaceStatus>());
const followed = new Map<string, { count: number; stop: () => void }>();

/** The latest news of a space; undefined before the first. */
export function statusOf(spaceId: string): SpaceStatus | undefined {
  return known.get(spaceId);
}

/** Takes in what changed; fields that are not set did not change. */
export function withNews(status: SpaceStatus | undefined, frame: SpaceFrame): SpaceStatus {
  return {
    connected: frame.connected ?? status?.connected ?? false,
    connections: frame.connections ?? status?.connections ?? 0,
    queueSize: frame.queue_size ?? status?.queueSize ?? 0,
    running: frame.running ?? status?.running ?? 0,
  };
}

function follow(spaceId: string): () => void {
  let entry = followed.get(spaceId);
  if (entry === undefined) {
    const stop = link.watch({
      key: `space:${spaceId}`,
      subscribe: () => ({ type: 'subscribe', space_id: spaceId }),
      unsubscribe: { type: 'unsubscribe', space_id: spaceId },
      hear: (frame: Frame) => {
        if (frame.type === 'space') known.set(spaceId, withNews(known.get(spaceId), frame as unknown as SpaceFrame));
      },
    });
    entry = { count: 0, stop };
    followed.set(spaceId, entry);
  }
  entry.count += 1;
  return () => {
    entry.count -= 1;
    if (entry.count > 0) return;
    entry.stop();
    followed.delete(spaceId);
    known.delete(spaceId);
  };
}

/** Follows the spaces of a list while the component that asks is there. */
export function useSpaceStatuses(spaceIds: Ref<readonly string[]>): void {
  const stops = new Map<string, () => void>();
  watch(
    spaceIds,
    (ids) => {
      for (const [id, stop] of stops) {
        if (ids.includes(id)) continue;
        stop();
        stops.delete(id);
      }
      for (const id of ids) if (!stops.has(id)) stops.set(id, follow(id));
    },
    { immediate: true },
  );
  onScopeDispose(() => stops.forEach((stop) => stop()));
}
