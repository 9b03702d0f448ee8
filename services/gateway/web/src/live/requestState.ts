/** One request as its frames tell it. Pure: frames go in, the next picture comes out. */
import type { FileRef, RequestDocument, RequestState } from '@/api/types';

import type { FinishedFrame, FrameProblem, Position, RequestFrame } from './frames';

export interface RequestPicture {
  requestId: string;
  state: RequestState;
  /** Frames told of it: they come in order, what the HTTP API answers may be older. */
  heard: boolean;
  /** Where a stream goes on after a loss: the last chunk that is here. */
  position: Position;
  place: number | null;
  queueSize: number;
  etaS: number | null;
  percent: number | null;
  message: string;
  /** What was streamed so far, also of what failed later. */
  text: string;
  /** False when a part of the stream could not be had any more. */
  whole: boolean;
  output: unknown;
  files: readonly FileRef[];
  error: FrameProblem | null;
  queueMs: number | null;
  runMs: number | null;
  finishedAt: string | null;
  cancelRequested: boolean;
  /** It ran before and was put back: its worker was lost. */
  restarted: boolean;
  /** What the gateway said instead of the request, such as that there is none. */
  refusal: FrameProblem | null;
}

const ENDED: readonly RequestState[] = ['succeeded', 'failed', 'cancelled', 'expired'];

export function hasEnded(state: RequestState): boolean {
  return ENDED.includes(state);
}

export function unknownRequest(requestId: string): RequestPicture {
  return {
    requestId, state: 'queued', heard: false, position: { attempt: 0, n: 0 }, place: null, queueSize: 0, etaS: null, percent: null,
    message: '', text: '', whole: true, output: undefined, files: [], error: null, queueMs: null, runMs: null,
    finishedAt: null, cancelRequested: false, restarted: false, refusal: null,
  };
}

/** As the HTTP API shows it: when it was submitted just now, or read. */
export function withDocument(picture: RequestPicture, document: RequestDocument): RequestPicture {
  const ended = hasEnded(document.state);
  const cancelRequested = picture.cancelRequested || (document.cancel_requested ?? false);
  // An end that a frame told came with its output, which some documents leave out.
  if (picture.heard && (!ended || hasEnded(picture.state))) return { ...picture, cancelRequested };
  return {
    ...picture,
    state: document.state,
    place: document.position ?? null,
    queueSize: document.queue_size ?? picture.queueSize,
    etaS: document.eta_s ?? null,
    cancelRequested,
    ...(ended ? {
      output: document.output, files: document.output_files ?? [], error: document.error ?? null,
      queueMs: document.queue_ms ?? null, runMs: document.run_ms ?? null, finishedAt: document.finished_at ?? null,
    } : {}),
  };
}

export function withFrame(before: RequestPicture, frame: RequestFrame): RequestPicture {
  const picture = before.heard || frame.type === 'error' ? before : { ...before, heard: true };
  switch (frame.type) {
    case 'status': {
      if (hasEnded(picture.state)) return picture;
      const requeued = picture.state === 'running' && frame.state === 'queued';
      return {
        ...picture,
        state: frame.state,
        place: frame.position ?? null,
        queueSize: frame.queue_size ?? 0,
        etaS: frame.eta_s ?? null,
        restarted: picture.restarted || requeued,
        ...(requeued ? { percent: null, message: '' } : {}),
      };
    }
    case 'progress':
      if (hasEnded(picture.state)) return picture;
      return {
        ...picture, state: 'running', place: null, percent: frame.percent ?? picture.percent,
        message: frame.message ?? picture.message,
      };
    case 'chunk':
      return {
        ...picture,
        state: hasEnded(picture.state) ? picture.state : 'running',
        place: null,
        text: picture.text + frame.data.map(pieceOf).join(''),
        position: { attempt: frame.attempt, n: frame.n + frame.data.length - 1 },
      };
    case 'reset':
      return {
        ...picture, text: '', percent: null, message: '', position: { attempt: frame.attempt, n: 0 },
        restarted: picture.restarted || picture.position.attempt > 0,
      };
    case 'finished':
      return ended(picture, frame);
    case 'error':
      return { ...picture, refusal: frame as FrameProblem };
  }
}

function ended(picture: RequestPicture, frame: FinishedFrame): RequestPicture {
  return {
    ...picture,
    state: frame.state,
    place: null,
    whole: frame.recovered ?? true,
    output: frame.output,
    files: frame.output_files ?? [],
    error: frame.error ?? null,
    queueMs: frame.queue_ms ?? null,
    runMs: frame.run_ms ?? (frame.processing_time_seconds === undefined ? null : frame.processing_time_seconds * 1000),
    finishedAt: frame.finished_at ?? null,
  };
}

function pieceOf(piece: unknown): string {
  return typeof piece === 'string' ? piece : `${JSON.stringify(piece)}\n`;
}

/** The text of an output: what was returned as text, or under `text`. Null for anything else. */
export function textOf(output: unknown): string | null {
  if (typeof output === 'string') return output;
  if (typeof output === 'object' && output !== null && 'text' in output) {
    return typeof output.text === 'string' ? output.text : null;
  }
  return null;
}

/** What an output holds beside its text and its files, to be shown as JSON; undefined for nothing. */
export function restOf(output: unknown): unknown {
  if (typeof output === 'string' || output === null || output === undefined) return undefined;
  if (typeof output !== 'object' || Array.isArray(output)) return output;
  const rest = Object.entries(output).filter(([name]) => !(name === 'text' && textOf(output) !== null) && name !== 'files');
  return rest.length ? Object.fromEntries(rest) : undefined;
}

/** The prompt of an input as it was sent. */
export function promptOf(input: unknown): string {
  if (typeof input !== 'object' || input === null || !('prompt' in input)) return '';
  return typeof input.prompt === 'string' ? input.prompt : '';
}
