import { describe, expect, it } from 'vitest';

import type { ListedChange } from '@/live/frames';
import { EVERYTHING, type Filter, fits, fromQuery, toQuery, wanted } from '@/pages/requests/filter';
import { madeAt } from '@/pages/requests/ids';
import { MOST, RequestRows } from '@/pages/requests/requestRows';
import { curl, literal, python } from '@/pages/requests/snippets';
import { gaps, moments } from '@/pages/requests/timeline';
import type { Details, ListedRequest } from '@/pages/requests/types';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const SPACE = 's'.repeat(26);
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';

function idAt(ms: number, tail = 0): string {
  let head = '';
  for (let rest = ms, nth = 0; nth < 10; nth++, rest = Math.floor(rest / 32)) head = DIGITS[rest % 32] + head;
  return head + String(tail).padStart(16, '0');
}

function request(ms: number, change: Partial<ListedRequest> = {}, tail = 0): ListedRequest {
  return {
    request_id: idAt(ms, tail), space_id: SPACE, tenant_id: 't', state: 'succeeded', space_name: 'poems',
    created_at: new Date(ms).toISOString(), made_by: { principal_id: 'p', name: 'ada', kind: 'user', user_id: 'u' },
    ...change,
  } as ListedRequest;
}

function change(ms: number, state: ListedChange['state'], more: Partial<ListedChange> = {}): ListedChange {
  return { request_id: idAt(ms), space_id: SPACE, state, at: new Date(ms + 5).toISOString(), ...more };
}

const ids = (rows: RequestRows): string[] => rows.rows.map((row) => row.request_id);

describe('a filter', () => {
  it('stands in the address and comes back from there', () => {
    const filter: Filter = { ...EVERYTHING, space: SPACE, states: ['queued', 'failed'], span: '24h', id: '01jd' };
    expect(fromQuery(toQuery(filter))).toEqual(filter);
    expect(toQuery(EVERYTHING)).toEqual({});
  });

  it('takes nothing from an address that means nothing', () => {
    expect(fromQuery({ state: 'asleep,failed', span: '9y', id: 'A%Z1' })).toEqual({ ...EVERYTHING, states: ['failed'], id: 'az1' });
  });

  it('is asked for as the API takes it', () => {
    expect(wanted({ ...EVERYTHING, span: '1h', states: ['failed'] }, NOW)).toEqual({
      since: '2026-11-21T11:00:00.000Z', state: ['failed'],
    });
    expect(wanted(EVERYTHING, NOW)).toEqual({});
  });

  it('knows by the id when a request was made', () => {
    expect(madeAt(idAt(NOW))).toBe(NOW);
    const old = { request_id: idAt(NOW - 7_200_000), space_id: SPACE, state: 'queued' as const };
    expect(fits({ ...EVERYTHING, span: '1h' }, old, NOW)).toBe(false);
    expect(fits({ ...EVERYTHING, span: '24h' }, old, NOW)).toBe(true);
    expect(fits({ ...EVERYTHING, states: ['failed'] }, old, NOW)).toBe(false);
    expect(fits({ ...EVERYTHING, id: old.request_id.slice(0, 8) }, old, NOW)).toBe(true);
  });
});

describe('the rows of the list', () => {
  it('change as they are told, and an end stays an end', () => {
    const rows = new RequestRows(EVERYTHING);
    rows.refresh([request(NOW, { state: 'queued' })], null);
    expect(rows.apply([change(NOW, 'running', { attempt: 1 })], NOW)).toBe(false);
    expect(rows.rows[0]).toMatchObject({ state: 'running', attempt: 1, space_name: 'poems' });
    rows.apply([change(NOW, 'failed', { attempt: 1, code: 'worker_lost' })], NOW);
    rows.apply([change(NOW, 'running', { attempt: 1 })], NOW);
    expect(rows.rows[0]).toMatchObject({ state: 'failed', error: { code: 'worker_lost' } });
  });

  it('come at the top when they are new, and their names are to be asked for', () => {
    const rows = new RequestRows(EVERYTHING);
    rows.refresh([request(NOW)], null);
    expect(rows.apply([change(NOW + 1, 'queued'), change(NOW + 2, 'queued')], NOW)).toBe(true);
    expect(ids(rows)).toEqual([idAt(NOW + 2), idAt(NOW + 1), idAt(NOW)]);
    rows.refresh([request(NOW + 2), request(NOW + 1), request(NOW)], null);
    expect(rows.rows.every((row) => row.space_name === 'poems')).toBe(true);
  });

  it('go when they fit no more', () => {
    const rows = new RequestRows({ ...EVERYTHING, states: ['queued'] });
    rows.refresh([request(NOW + 1, { state: 'queued' }), request(NOW, { state: 'queued' })], null);
    rows.apply([change(NOW, 'running', { attempt: 1 }), change(NOW + 5, 'running')], NOW);
    expect(ids(rows)).toEqual([idAt(NOW + 1)]);
  });

  it('of somebody are only shown when the gateway says whose they are', () => {
    const rows = new RequestRows({ ...EVERYTHING, user: 'u' });
    rows.refresh([], null);
    expect(rows.apply([change(NOW, 'queued')], NOW)).toBe(true);
    expect(rows.rows).toEqual([]);
  });

  it('go on after the last page, each once', () => {
    const rows = new RequestRows(EVERYTHING);
    rows.refresh([request(NOW + 3), request(NOW + 2)], 'next');
    rows.append([request(NOW + 2), request(NOW + 1)], null);
    expect(ids(rows)).toEqual([idAt(NOW + 3), idAt(NOW + 2), idAt(NOW + 1)]);
    expect(rows.cursor).toBeNull();
  });

  it('keep what is below when the newest page is read again', () => {
    const rows = new RequestRows(EVERYTHING);
    rows.refresh([request(NOW + 3), request(NOW + 2)], 'a');
    rows.append([request(NOW + 1)], 'b');
    rows.refresh([request(NOW + 4), request(NOW + 3)], 'c');
    expect(ids(rows)).toEqual([idAt(NOW + 4), idAt(NOW + 3), idAt(NOW + 2), idAt(NOW + 1)]);
    expect(rows.cursor).toBe('b');
  });

  it('are not pushed back by an answer that a change overtook', () => {
    const rows = new RequestRows(EVERYTHING);
    rows.refresh([request(NOW, { state: 'running' })], null);
    rows.apply([change(NOW, 'succeeded', { attempt: 1 })], NOW);
    rows.refresh([request(NOW, { state: 'running' })], null);
    expect(rows.rows[0]?.state).toBe('succeeded');
  });

  it('are bounded, and take a thousand changes in a moment', () => {
    const rows = new RequestRows(EVERYTHING);
    const began = performance.now();
    for (let round = 0; round < 30; round++) {
      rows.apply(Array.from({ length: 250 }, (_, nth) => change(NOW + round * 250 + nth, 'queued')), NOW);
    }
    expect(rows.rows).toHaveLength(MOST);
    expect((performance.now() - began) / 30).toBeLessThan(100);
    expect(rows.cursor).toBe(rows.rows.at(-1)?.request_id);
  });
});

const STORY = {
  ...request(NOW), input: { prompt: "it's", parameters: { n: 1, on: true } }, queue_ms: 10,
  queued_at: new Date(NOW + 2000).toISOString(), finished_at: new Date(NOW + 4000).toISOString(),
  attempts: [
    { attempt: 1, connection_id: 'c1', worker: 'gpu-1', dispatched_at: new Date(NOW + 10).toISOString(), accepted_at: new Date(NOW + 20).toISOString(), released_at: new Date(NOW + 2000).toISOString() },
    { attempt: 2, connection_id: 'c2', worker: null, dispatched_at: new Date(NOW + 2500).toISOString(), accepted_at: null, released_at: new Date(NOW + 4000).toISOString() },
  ],
} as unknown as Details;

describe('a timeline', () => {
  it('tells each attempt and the end, in order', () => {
    const all = moments(STORY);
    expect(all.map((one) => one.kind)).toEqual(['queued', 'dispatched', 'accepted', 'released', 'requeued', 'dispatched', 'succeeded']);
    expect(all[5]).toMatchObject({ attempt: 2, worker: 'c2' });
    expect(gaps(all).at(-1)).toBe(1500);
  });

  it('ends with now while it goes on', () => {
    const all = moments({ ...STORY, state: 'queued', attempts: [], queued_at: STORY.created_at } as Details);
    expect(all.map((one) => one.kind)).toEqual(['queued', 'now']);
  });
});

describe('what one copies', () => {
  it('is the same request, quoted for a shell, and names no key', () => {
    const text = curl(STORY, 'https://gw.example');
    expect(text).toContain(`"https://gw.example/api/spaces/${SPACE}/requests?wait=30"`);
    expect(text).toContain(`-d '{"prompt":"it'\\''s","parameters":{"n":1,"on":true}}'`);
    expect(text).toContain('$SPACES_API_KEY');
  });

  it('is written as Python writes it', () => {
    expect(literal({ a: [true, null, 'x'] })).toBe('{"a": [True, None, "x"]}');
    expect(python(STORY, 'https://gw.example')).toContain('parameters={"n": 1, "on": True},');
  });
});
