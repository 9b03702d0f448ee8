/** The platform over time as columns of a plot. Pure. Steps that had nothing to tell are zero or a gap. */
import type { components } from '@/api/schema';

export type History = components['schemas']['History'];
type Point = components['schemas']['HistoryPoint'];
export type Column = (number | null)[];

export interface Plot {
  name: 'throughput' | 'latency' | 'queue';
  lines: readonly string[];
  times: number[];
  columns: Column[];
}

const perMinute = (count: number | undefined, stepS: number): number => ((count ?? 0) * 60) / stepS;

export function plots(history: History, nowS: number, hours: number): Plot[] {
  const step = history.step_s ?? 60;
  const known = new Map((history.points ?? []).map((point) => [Date.parse(point.at) / 1000, point]));
  const last = Math.floor(nowS / step) * step;
  const first = last - Math.ceil((hours * 3600) / step) * step;
  const times: number[] = [];
  for (let at = first; at <= last; at += step) times.push(at);
  const column = (read: (point: Point) => number | null | undefined, otherwise: number | null): Column =>
    times.map((at) => {
      const point = known.get(at);
      return point ? (read(point) ?? null) : otherwise;
    });
  return [
    {
      name: 'throughput', lines: ['accepted', 'succeeded', 'failed'], times,
      columns: [
        column((point) => perMinute(point.accepted, step), 0),
        column((point) => perMinute(point.succeeded, step), 0),
        column((point) => perMinute((point.failed ?? 0) + (point.expired ?? 0), step), 0),
      ],
    },
    {
      name: 'latency', lines: ['run95', 'run50', 'wait95'], times,
      columns: [
        column((point) => point.run_p95_s, null),
        column((point) => point.run_p50_s, null),
        column((point) => point.wait_p95_s, null),
      ],
    },
    {
      name: 'queue', lines: ['queued', 'running'], times,
      columns: [column((point) => point.queued, null), column((point) => point.running, null)],
    },
  ];
}

export function summary(history: History): { accepted: number; ended: number; failed: number } {
  const points = history.points ?? [];
  const sum = (read: (point: Point) => number | undefined): number =>
    points.reduce((total, point) => total + (read(point) ?? 0), 0);
  const failed = sum((point) => point.failed) + sum((point) => point.expired);
  return {
    accepted: sum((point) => point.accepted),
    ended: sum((point) => point.succeeded) + sum((point) => point.cancelled) + failed,
    failed,
  };
}
