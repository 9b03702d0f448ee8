/** What the list shows: in the address of the page, so that it can be kept, sent on and gone back to. */
import type { RequestState } from '@/api/types';

import { madeAt } from './ids';
import { STATES } from './types';

export const SPANS = { '1h': 3_600_000, '24h': 86_400_000, '7d': 7 * 86_400_000 } as const;
export type Span = keyof typeof SPANS;

export interface Filter {
  space: string;
  states: readonly RequestState[];
  user: string;
  /** Counted back from now, or empty. */
  span: Span | '';
  /** Moments as <input type="datetime-local"> writes them. */
  since: string;
  until: string;
  id: string;
}

export const EVERYTHING: Filter = { space: '', states: [], user: '', span: '', since: '', until: '', id: '' };

type Query = Record<string, string | readonly (string | null)[] | null | undefined>;

export function fromQuery(query: Query): Filter {
  const one = (name: string): string => {
    const value = query[name];
    return typeof value === 'string' ? value : '';
  };
  const span = one('span');
  return {
    space: one('space'),
    states: STATES.filter((state) => one('state').split(',').includes(state)),
    user: one('user'),
    span: span in SPANS ? (span as Span) : '',
    since: one('since'),
    until: one('until'),
    id: one('id').toLowerCase().replace(/[^0-9a-z]/g, '').slice(0, 32),
  };
}

export function toQuery(filter: Filter): Record<string, string> {
  const query = { ...filter, state: filter.states.join(',') } as Record<string, unknown>;
  delete query.states;
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== '')) as Record<string, string>;
}

export interface Wanted {
  space?: string;
  state?: RequestState[];
  user?: string;
  since?: string;
  until?: string;
  id?: string;
}

/** As the API takes it. */
export function wanted(filter: Filter, now: number): Wanted {
  const since = filter.span ? new Date(now - SPANS[filter.span]).toISOString() : instant(filter.since);
  const until = filter.span ? undefined : instant(filter.until);
  return {
    ...(filter.space ? { space: filter.space } : {}),
    ...(filter.states.length ? { state: [...filter.states] } : {}),
    ...(filter.user ? { user: filter.user } : {}),
    ...(since ? { since } : {}),
    ...(until ? { until } : {}),
    ...(filter.id ? { id: filter.id } : {}),
  };
}

/** Whether what is known of a request fits; who made it is known by the gateway only. */
export function fits(
  filter: Filter,
  request: { request_id: string; space_id: string; state: RequestState },
  now: number,
): boolean {
  if (filter.space && request.space_id !== filter.space) return false;
  if (filter.states.length && !filter.states.includes(request.state)) return false;
  if (!request.request_id.startsWith(filter.id)) return false;
  const made = madeAt(request.request_id);
  if (filter.span) return made >= now - SPANS[filter.span];
  if (filter.since && made < Date.parse(filter.since)) return false;
  return !(filter.until && made >= Date.parse(filter.until));
}

function instant(local: string): string | undefined {
  const moment = local ? Date.parse(local) : NaN;
  return Number.isNaN(moment) ? undefined : new Date(moment).toISOString();
}
