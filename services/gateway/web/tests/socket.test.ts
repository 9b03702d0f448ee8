import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Problem } from '@/api/problem';
import { backoffMs } from '@/live/backoff';
import type { Frame } from '@/live/frames';
import { type LinkState, LiveSocket, type Topic } from '@/live/socket';

class FakeSocket {
  readyState = 0;
  sent: Frame[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Frame);
  }
  close(): void {
    this.readyState = 3;
  }
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  say(frame: Frame): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  lose(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

function setting(ticket: () => Promise<string> = () => Promise.resolve('t')) {
  const sockets: FakeSocket[] = [];
  const states: LinkState[] = [];
  const refused: Problem[] = [];
  const socket = new LiveSocket({
    ticket,
    open: () => {
      const made = new FakeSocket();
      sockets.push(made);
      return made as unknown as WebSocket;
    },
    onState: (state) => states.push(state),
    onRefused: (problem) => refused.push(problem),
    random: () => 1,
  });
  const latest = () => sockets[sockets.length - 1] as FakeSocket;
  const arrive = async () => {
    await vi.advanceTimersByTimeAsync(0);
    latest().open();
    latest().say({ type: 'ready' });
  };
  return { socket, sockets, states, refused, latest, arrive };
}

function topic(key: string, position = { attempt: 0, n: 0 }): Topic & { heard: Frame[] } {
  const heard: Frame[] = [];
  const request_id = key.slice('request:'.length);
  return {
    key,
    heard,
    subscribe: () => ({ type: 'subscribe', request_id, after: { ...position } }),
    unsubscribe: { type: 'unsubscribe', request_id },
    hear: (frame) => heard.push(frame),
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the socket', () => {
  it('signs in with its ticket and subscribes when it may', async () => {
    const { socket, latest, arrive, states } = setting();
    socket.watch(topic('request:a'));
    socket.start();
    await arrive();
    expect(latest().sent).toEqual([
      { type: 'auth', ticket: 't' },
      { type: 'subscribe', request_id: 'a', after: { attempt: 0, n: 0 } },
    ]);
    expect(states).toEqual(['connecting', 'live']);
  });

  it('goes on after a loss from where its reader is', async () => {
    const { socket, latest, arrive, states, sockets } = setting();
    const position = { attempt: 0, n: 0 };
    socket.watch(topic('request:a', position));
    socket.start();
    await arrive();
    Object.assign(position, { attempt: 1, n: 7 });
    latest().lose();
    await vi.advanceTimersByTimeAsync(backoffMs(0, () => 1));
    await arrive();
    expect(sockets).toHaveLength(2);
    expect(latest().sent[1]).toMatchObject({ after: { attempt: 1, n: 7 } });
    expect(states).toEqual(['connecting', 'live', 'offline', 'live']);
  });

  it('tells each frame to those whose business it is', async () => {
    const { socket, latest, arrive } = setting();
    const [one, other] = [topic('request:a'), topic('request:b')];
    const stop = socket.watch(one);
    socket.watch(other);
    socket.start();
    await arrive();
    latest().say({ type: 'chunk', request_id: 'a', data: ['x'] });
    stop();
    latest().say({ type: 'chunk', request_id: 'a', data: ['y'] });
    expect([one.heard.length, other.heard.length]).toEqual([1, 0]);
    expect(latest().sent.at(-1)).toEqual({ type: 'unsubscribe', request_id: 'a' });
  });

  it('notices a way that is cut without a word', async () => {
    const { socket, latest, arrive, states } = setting();
    socket.start();
    await arrive();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(latest().sent.at(-1)).toMatchObject({ type: 'ping' });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(states.at(-1)).toBe('offline');
  });

  it('comes back when the gateway asks it to, and not before', async () => {
    const { socket, sockets, latest, arrive } = setting();
    socket.start();
    await arrive();
    latest().say({ type: 'goaway', reconnect_after_s: 2 });
    await vi.advanceTimersByTimeAsync(1_900);
    expect(sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(sockets).toHaveLength(2);
  });

  it('waits longer each time while nobody answers, and not when it is told that there is hope', async () => {
    let tries = 0;
    const { socket, states } = setting(() => {
      tries++;
      return Promise.reject(new Problem({ code: 'gateway_unreachable' }));
    });
    socket.start();
    await vi.advanceTimersByTimeAsync(60_000);
    const atLeisure = tries;
    expect(atLeisure).toBeLessThan(15);
    socket.nudge();
    await vi.advanceTimersByTimeAsync(0);
    expect(tries).toBe(atLeisure + 1);
    expect(states.at(-1)).toBe('offline');
  });

  it('gives up when it is not allowed in', async () => {
    const { socket, refused, states } = setting(() => Promise.reject(new Problem({ code: 'forbidden', status: 403 })));
    socket.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(refused.map((problem) => problem.code)).toEqual(['forbidden']);
    expect(states).toEqual(['connecting', 'idle']);
  });
});
