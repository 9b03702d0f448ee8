import type { Space } from '@/api/types';
import type { LinkState } from '@/live/socket';

/** Why nothing can be submitted now; null when it can. */
export type Hindrance = 'forbidden' | 'disabled' | 'gatewayLost' | 'notConnected';

export function hindrance(space: Space, connected: boolean, link: LinkState, mayWrite: boolean): Hindrance | null {
  if (!mayWrite) return 'forbidden';
  if (!space.enabled) return 'disabled';
  if (link === 'offline') return 'gatewayLost';
  if (!connected && space.policy?.when_offline !== 'queue') return 'notConnected';
  return null;
}
