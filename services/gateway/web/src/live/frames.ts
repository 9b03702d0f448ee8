/** What the client socket `/ws` says; docs/asyncapi.json is the contract, and a test compares. */
import type { FileRef, ProblemDocument, RequestState } from '@/api/types';

export interface Position {
  attempt: number;
  n: number;
}

export interface StatusFrame {
  type: 'status';
  request_id: string;
  space_id: string;
  state: RequestState;
  attempt?: number;
  position?: number;
  queue_size?: number;
  eta_s?: number;
}

export interface ProgressFrame {
  type: 'progress';
  request_id: string;
  attempt: number;
  percent?: number;
  message?: string;
}

export interface ChunkFrame {
  type: 'chunk';
  request_id: string;
  attempt: number;
  n: number;
  data: unknown[];
}

export interface ResetFrame {
  type: 'reset';
  request_id: string;
  attempt: number;
}

export interface FrameProblem {
  code: ProblemDocument['code'];
  message?: string;
  facts?: Record<string, unknown>;
}

export interface FinishedFrame {
  type: 'finished';
  request_id: string;
  space_id: string;
  state: RequestState;
  attempt?: number;
  last_n?: number;
  recovered?: boolean;
  output?: unknown;
  output_files?: FileRef[];
  error?: FrameProblem;
  processing_time_seconds?: number;
  queue_ms?: number;
  run_ms?: number;
  finished_at?: string;
}

export interface SpaceFrame {
  type: 'space';
  space_id: string;
  connected?: boolean;
  connections?: number;
  queue_size?: number;
  running?: number;
}

/** A request in a list that somebody looks at, as it is now. */
export interface ListedChange {
  request_id: string;
  space_id: string;
  state: RequestState;
  attempt?: number;
  at: string;
  principal_id?: string;
  code?: string;
}

/** At most four a second. The first one has no changes: from there on they come. */
export interface ChangesFrame {
  type: 'changes';
  ref?: string;
  changes?: ListedChange[];
  /** Changes that did not fit, or may have gone by unheard: the list is to be read again. */
  missed?: number;
}

export interface ErrorFrame {
  type: 'error';
  code: string;
  message: string;
  ref?: string;
  request_id?: string;
  retry?: boolean;
  facts?: Record<string, unknown>;
}

export type RequestFrame = StatusFrame | ProgressFrame | ChunkFrame | ResetFrame | FinishedFrame | ErrorFrame;

/** Any frame; those that this page does not know are left alone. */
export interface Frame {
  type: string;
  ref?: string;
  request_id?: string;
  space_id?: string;
  [field: string]: unknown;
}
