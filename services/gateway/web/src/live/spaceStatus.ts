/** What changes by itself in spaces: whether a worker is there, and the queue. Shared by all who look at a space. */
import { reactive } from 'vue';

import { followingWhileSeen } from './following';
import type { Frame, SpaceFrame } from './frames';
import { link } from './link';

export interface SpaceStatus {
  connected: boolean;
  connections: number;
  queueSize: number;
  running: number;
}

const known = reactive(new Map<string, SpaceStatus>());

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

/** Follows the spaces of a list while the component that asks is there. */
export const useSpaceStatuses = followingWhileSeen((spaceId) => {
  const stop = link.watch({
    key: `space:${spaceId}`,
    subscribe: () => ({ type: 'subscribe', space_id: spaceId }),
    unsubscribe: { type: 'unsubscribe', space_id: spaceId },
    hear: (frame: Frame) => {
      if (frame.type === 'space') known.set(spaceId, withNews(known.get(spaceId), frame as unknown as SpaceFrame));
    },
  });
  return () => {
    stop();
    known.delete(spaceId);
  };
});
