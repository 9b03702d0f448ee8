/** What happened to a request, in order, of what is stored about it. Pure. */
import type { Attempt, Details } from './types';
import { isOver } from './types';

export type Kind =
  | 'queued' | 'dispatched' | 'accepted' | 'released' | 'requeued' | 'cancelAsked'
  | 'succeeded' | 'failed' | 'cancelled' | 'expired' | 'now';

export interface Moment {
  kind: Kind;
  at: string | null;
  attempt: number | null;
  worker: string | null;
}

const SAME_MS = 5;

export function moments(details: Details): Moment[] {
  const attempts = details.attempts ?? [];
  const found: Moment[] = [];
  const add = (kind: Kind, at: string | null | undefined, attempt: Attempt | null = null): void => {
    if (!at) return;
    const worker = attempt ? (attempt.worker || attempt.connection_id) : null;
    found.push({ kind, at, attempt: attempt?.attempt ?? null, worker });
  };
  add('queued', details.created_at);
  for (const attempt of attempts) {
    add('dispatched', attempt.dispatched_at, attempt);
    add('accepted', attempt.accepted_at, attempt);
    const isLast = attempt === attempts.at(-1);
    // The end of the last attempt is the end of the request, unless it goes on without a worker.
    if (!isLast || details.state === 'queued') add('released', attempt.released_at, attempt);
  }
  if (wasRequeued(details)) add('requeued', details.queued_at);
  add('cancelAsked', details.cancel_requested_at);
  found.sort((one, other) => Date.parse(one.at ?? '') - Date.parse(other.at ?? ''));
  if (isOver(details.state)) {
    found.push({ kind: details.state as Kind, at: details.finished_at ?? null, attempt: null, worker: null });
  } else found.push({ kind: 'now', at: null, attempt: null, worker: null });
  return found;
}

/** How long each step took after the one before, in milliseconds. */
export function gaps(all: readonly Moment[]): (number | null)[] {
  return all.map((moment, nth) => {
    const before = all[nth - 1]?.at;
    return before && moment.at ? Math.max(0, Date.parse(moment.at) - Date.parse(before)) : null;
  });
}

function wasRequeued(details: Details): boolean {
  if (!details.queued_at || !details.created_at || !details.attempts?.length) return false;
  return Date.parse(details.queued_at) - Date.parse(details.created_at) > SAME_MS;
}
