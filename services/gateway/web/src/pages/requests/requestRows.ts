/** The rows of the list: what was read, and what changed since. Pure; newest first. */
import type { ListedChange } from '@/live/frames';

import { type Filter, fits } from './filter';
import { madeAt } from './ids';
import { isOver, type ListedRequest } from './types';

export interface Row extends Partial<Omit<ListedRequest, 'request_id' | 'space_id' | 'state'>> {
  request_id: string;
  space_id: string;
  state: ListedRequest['state'];
  created_at: string;
  /** Only what a change told is known of it; names come with the next reading. */
  partial?: boolean;
}

/** Rows that are kept; further ones are read again when somebody scrolls there. */
export const MOST = 5_000;

export class RequestRows {
  rows: Row[] = [];
  cursor: string | null = null;
  private readonly byId = new Map<string, Row>();

  constructor(private readonly filter: Filter) {}

  /** The newest page, read again: what is new or changed is taken over, what is below stays. */
  refresh(page: readonly ListedRequest[], cursor: string | null): void {
    const reached = page.at(-1)?.request_id;
    const isFirst = this.rows.length === 0;
    const read = page.map((one) => this.newer(one));
    // What the gateway no longer names in the part that was read fits no more.
    const below = reached === undefined || cursor === null ? [] : this.rows.filter((row) => row.request_id < reached);
    if (isFirst || cursor === null || below.length === 0) this.cursor = cursor;
    this.replace([...read, ...below]);
  }

  /** The page after the last row. */
  append(page: readonly ListedRequest[], cursor: string | null): void {
    this.cursor = cursor;
    this.replace([...this.rows, ...page.filter((one) => !this.byId.has(one.request_id)).map(asRow)], false);
  }

  /** What is told live. Returns whether something is shown now of which only the gateway knows the rest. */
  apply(changes: readonly ListedChange[], now: number): boolean {
    const made: Row[] = [];
    let unknown = false;
    let gone = false;
    for (const change of changes) {
      const before = this.byId.get(change.request_id);
      if (before) {
        if (!changeRow(before, change)) continue;
        if (!fits(this.filter, before, now)) {
          this.byId.delete(before.request_id);
          gone = true;
        }
      } else if (fits(this.filter, change, now)) {
        unknown = true;
        // Whose it is, and what is older than what was read, the gateway must say.
        if (this.filter.user || this.isBelow(change.request_id)) continue;
        made.push(rowOf(change));
      }
    }
    if (made.length || gone) {
      const kept = gone ? this.rows.filter((row) => this.byId.has(row.request_id)) : this.rows;
      this.replace([...made, ...kept]);
    } else this.rows = [...this.rows];
    return unknown;
  }

  private isBelow(id: string): boolean {
    const last = this.rows.at(-1);
    return this.cursor !== null && last !== undefined && id < last.request_id;
  }

  private newer(read: ListedRequest): Row {
    const before = this.byId.get(read.request_id);
    // A change may have overtaken the answer.
    return before && isOver(before.state) && !isOver(read.state) ? before : asRow(read);
  }

  private replace(rows: Row[], bounded = true): void {
    if (rows.some((row, nth) => nth > 0 && row.request_id > (rows[nth - 1]?.request_id ?? ''))) {
      rows.sort((one, other) => (one.request_id < other.request_id ? 1 : -1));
    }
    if (bounded && rows.length > MOST) {
      rows = rows.slice(0, MOST);
      this.cursor = rows.at(-1)?.request_id ?? null;
    }
    this.rows = rows;
    this.byId.clear();
    for (const row of rows) this.byId.set(row.request_id, row);
  }
}

function asRow(read: ListedRequest): Row {
  return { ...read, created_at: read.created_at ?? new Date(madeAt(read.request_id)).toISOString() };
}

function rowOf(change: ListedChange): Row {
  const row: Row = {
    request_id: change.request_id,
    space_id: change.space_id,
    state: change.state,
    created_at: new Date(madeAt(change.request_id)).toISOString(),
    partial: true,
  };
  changeRow(row, change);
  return row;
}

/** False when the row knows better. */
function changeRow(row: Row, change: ListedChange): boolean {
  const attempt = change.attempt ?? 0;
  if (isOver(row.state) && !row.partial) return false;
  if (attempt < (row.attempt ?? 0)) return false;
  row.state = change.state;
  row.attempt = attempt;
  if (change.state === 'running') row.started_at ??= change.at;
  if (isOver(change.state)) row.finished_at = change.at;
  if (change.code) row.error = { code: change.code as NonNullable<Row['error']>['code'], message: '', facts: {} };
  return true;
}
