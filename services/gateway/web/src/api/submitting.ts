/** Sending a request so that it arrives once: the same key goes with every try. */
import { api } from './client';
import { asProblem, UNREACHABLE } from './problem';
import type { FileRef, RequestDocument } from './types';

export interface NewRequest {
  prompt: string;
  parameters: Record<string, unknown>;
  files: readonly File[];
}

const TRIES = 6;
const PAUSE_MS = 500;
const MAY_PASS = new Set([UNREACHABLE, 'unavailable', 'http_502', 'http_503', 'http_504']);

export async function submit(space: string, request: NewRequest): Promise<RequestDocument> {
  const files: string[] = [];
  for (const file of request.files) files.push((await patiently(() => upload(file))).file_id);
  const key = newKey();
  return patiently(() =>
    api.post('/api/spaces/{space}/requests', {
      path: { space },
      headers: { 'idempotency-key': key },
      body: { prompt: request.prompt || null, parameters: request.parameters, files },
    }),
  ) as Promise<RequestDocument>;
}

async function upload(file: File): Promise<FileRef> {
  const answer = await api.call('/api/files', {
    method: 'POST',
    headers: {
      'content-type': file.type || 'application/octet-stream',
      'x-file-name': encodeURIComponent(file.name),
    },
    body: file,
  });
  return (await answer.json()) as FileRef;
}

/** A gateway that is being replaced is asked again for a few seconds. */
export async function patiently<T>(work: () => Promise<T>, pauseMs: number = PAUSE_MS): Promise<T> {
  for (let left = TRIES; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (left <= 1 || !MAY_PASS.has(asProblem(error).code)) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

function newKey(): string {
  // crypto.randomUUID is for secure contexts only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
