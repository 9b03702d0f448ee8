import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { RequestDocument } from '@/api/types';
import type { RequestFrame } from '@/live/frames';
import { type RequestPicture, restOf, textOf, unknownRequest, withDocument, withFrame } from '@/live/requestState';

const ID = '01m7yzzzwxv8wkbzbk3ds3mfve';
const at = { request_id: ID, space_id: 's' };

function after(...frames: RequestFrame[]): RequestPicture {
  return frames.reduce(withFrame, unknownRequest(ID));
}

const chunk = (attempt: number, n: number, ...data: unknown[]): RequestFrame => ({ type: 'chunk', request_id: ID, attempt, n, data });

describe('a request', () => {
  it('waits with a place, then runs', () => {
    const queued = after({ type: 'status', ...at, state: 'queued', position: 2, queue_size: 3, eta_s: 4 });
    expect([queued.state, queued.place, queued.queueSize, queued.etaS]).toEqual(['queued', 2, 3, 4]);
    const running = withFrame(queued, { type: 'status', ...at, state: 'running' });
    expect([running.state, running.place]).toEqual(['running', null]);
  });

  it('knows the last chunk that it has', () => {
    const picture = after(chunk(1, 1, 'a', 'b'), chunk(1, 3, 'c', { n: 4 }));
    expect(picture.text).toBe('abc{"n":4}\n');
    expect(picture.position).toEqual({ attempt: 1, n: 4 });
  });

  it('drops what an attempt said when the next begins', () => {
    const picture = after(chunk(1, 1, 'a'), { type: 'reset', request_id: ID, attempt: 2 }, chunk(2, 1, 'b'));
    expect([picture.text, picture.restarted, picture.position]).toEqual(['b', true, { attempt: 2, n: 1 }]);
  });

  it('is no second try when it is the first', () => {
    expect(after({ type: 'reset', request_id: ID, attempt: 1 }).restarted).toBe(false);
  });

  it('keeps what came when it fails', () => {
    const picture = after(chunk(1, 1, 'half'), {
      type: 'finished', ...at, state: 'failed', attempt: 1, error: { code: 'handler_failed', message: 'no paper' },
    });
    expect([picture.state, picture.text, picture.error?.code]).toEqual(['failed', 'half', 'handler_failed']);
  });

  it('takes late chunks of a stream whose end is known already', () => {
    const known = withDocument(unknownRequest(ID), { ...at, state: 'failed' } as RequestDocument);
    const picture = withFrame(known, chunk(1, 1, 'half'));
    expect([picture.state, picture.text]).toEqual(['failed', 'half']);
  });

  it('never goes back from its end', () => {
    const done = after({ type: 'finished', ...at, state: 'succeeded', output: 'x' });
    expect(withFrame(done, { type: 'status', ...at, state: 'running' }).state).toBe('succeeded');
    expect(withFrame(done, { type: 'progress', request_id: ID, attempt: 1, percent: 90 }).state).toBe('succeeded');
    expect(withDocument(done, { ...at, state: 'running' } as RequestDocument).state).toBe('succeeded');
  });

  it('keeps its output when a document without one comes after its end', () => {
    const done = after({ type: 'finished', ...at, state: 'succeeded', output: 'x' });
    expect(withDocument(done, { ...at, state: 'succeeded' } as RequestDocument).output).toBe('x');
  });

  it('is where its frames say, whatever an answer that was on its way for longer says', () => {
    const running = after({ type: 'status', ...at, state: 'running' });
    const told = withDocument(running, { ...at, state: 'queued', position: 1, cancel_requested: true } as RequestDocument);
    expect([told.state, told.place, told.cancelRequested]).toEqual(['running', null, true]);
  });
});

describe('an output', () => {
  it.each([
    ['plain', 'plain', undefined],
    [{ text: 'words' }, 'words', undefined],
    [{ text: 'words', files: [], score: 1 }, 'words', { score: 1 }],
    [{ text: 5 }, null, { text: 5 }],
    [[1, 2], null, [1, 2]],
    [null, null, undefined],
  ])('%j is shown as text and as the rest', (output, text, rest) => {
    expect([textOf(output), restOf(output)]).toEqual([text, rest]);
  });
});

describe('the frames', () => {
  it('are those of the contract', () => {
    const contract = JSON.parse(readFileSync(join(import.meta.dirname, '../../../../docs/asyncapi.json'), 'utf8')) as {
      components: { schemas: Record<string, { properties?: object }> };
    };
    const used: Record<string, string[]> = {
      StatusFrame: ['request_id', 'state', 'attempt', 'position', 'queue_size', 'eta_s'],
      ProgressFrame: ['request_id', 'attempt', 'percent', 'message'],
      ChunkFrame: ['request_id', 'attempt', 'n', 'data'],
      ResetFrame: ['request_id', 'attempt'],
      FinishedFrame: ['state', 'recovered', 'output', 'output_files', 'error', 'processing_time_seconds', 'queue_ms', 'run_ms', 'finished_at'],
      SpaceFrame: ['space_id', 'connected', 'connections', 'queue_size', 'running'],
      Subscribe: ['request_id', 'space_id', 'after'],
    };
    for (const [name, fields] of Object.entries(used)) {
      const known = Object.keys(contract.components.schemas[name]?.properties ?? {});
      expect(fields.filter((field) => !known.includes(field)), name).toEqual([]);
    }
  });
});
