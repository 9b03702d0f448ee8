/**
 * The one socket of this tab: signs in with a ticket, subscribes, and comes back by itself.
 *
 * Whoever watches says how to subscribe anew; after a loss each is asked again, so that a stream goes on from where
 * its reader is and nothing is missed or shown twice.
 */
import { asProblem, type Problem } from '@/api/problem';

import { backoffMs } from './backoff';
import type { Frame } from './frames';

/** `idle`: nobody is signed in. `connecting`: the first time. `offline`: lost, and coming back by itself. */
export type LinkState = 'idle' | 'connecting' | 'live' | 'offline';

export interface Topic {
  /** Frames with this key go to this topic; see keyOf. */
  key: string;
  /** The frame that subscribes, from where the reader is now. */
  subscribe: () => Frame;
  unsubscribe: Frame;
  hear: (frame: Frame) => void;
}

export interface Surroundings {
  ticket: () => Promise<string>;
  open: () => WebSocket;
  onState: (state: LinkState, retryAt: number | null) => void;
  /** Not allowed to have a socket at all: trying again would not help. */
  onRefused: (problem: Problem) => void;
  random?: () => number;
}

const PING_MS = 10_000;
/** Nothing heard for this long after a ping: the way is cut, whatever the socket thinks. */
const SILENCE_MS = 5_000;
const REFUSALS = new Set([401, 403]);

export class LiveSocket {
  private socket: WebSocket | null = null;
  private readonly topics = new Map<string, Set<Topic>>();
  private state: LinkState = 'idle';
  private tries = 0;
  private wanted = false;
  private generation = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private pulse: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly around: Surroundings) {}

  get live(): boolean {
    return this.state === 'live';
  }

  start(): void {
    if (this.wanted) return;
    this.wanted = true;
    this.tries = 0;
    this.become('connecting');
    void this.connect();
  }

  stop(): void {
    this.wanted = false;
    this.drop();
    this.become('idle');
  }

  /** Returns how to stop watching. */
  watch(topic: Topic): () => void {
    const watchers = this.topics.get(topic.key) ?? new Set();
    this.topics.set(topic.key, watchers.add(topic));
    if (this.live && watchers.size === 1) this.send(topic.subscribe());
    return () => {
      watchers.delete(topic);
      if (watchers.size > 0 || this.topics.get(topic.key) !== watchers) return;
      this.topics.delete(topic.key);
      if (this.live) this.send(topic.unsubscribe);
    };
  }

  /** Says whether it could be sent. */
  send(frame: Frame): boolean {
    if (this.socket === null || this.socket.readyState !== 1) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** The browser says that the network is back or the page is looked at again: find out now, not at the next turn. */
  nudge(): void {
    if (!this.wanted) return;
    if (this.live) this.ping();
    else if (this.retry !== undefined) {
      this.tries = 0;
      void this.connect();
    }
  }

  private async connect(): Promise<void> {
    this.drop();
    const generation = this.generation;
    let ticket: string;
    try {
      ticket = await this.around.ticket();
    } catch (error) {
      if (generation !== this.generation) return;
      const problem = asProblem(error);
      if (!REFUSALS.has(problem.status)) return this.later();
      this.stop();
      return this.around.onRefused(problem);
    }
    if (generation !== this.generation) return;
    const socket = this.around.open();
    this.socket = socket;
    socket.onopen = () => this.send({ type: 'auth', ticket });
    socket.onmessage = (event: MessageEvent<string>) => {
      if (socket === this.socket) this.hear(JSON.parse(event.data) as Frame);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.later();
    };
    this.expectSoon();
  }

  private hear(frame: Frame): void {
    this.beat();
    if (frame.type === 'ready') return this.ready();
    if (frame.type === 'ping') return void this.send({ type: 'pong', id: frame.id });
    if (frame.type === 'goaway') return this.later(Number(frame.reconnect_after_s) * 1000);
    const key = keyOf(frame);
    for (const topic of key === null ? [] : [...(this.topics.get(key) ?? [])]) topic.hear(frame);
  }

  private ready(): void {
    this.tries = 0;
    this.become('live');
    for (const watchers of this.topics.values()) {
      const [first] = watchers;
      if (first) this.send(first.subscribe());
    }
  }

  private later(afterMs: number = backoffMs(this.tries, this.around.random)): void {
    this.drop();
    if (!this.wanted) return;
    this.tries += 1;
    this.become('offline', Date.now() + afterMs);
    this.retry = setTimeout(() => void this.connect(), afterMs);
  }

  private drop(): void {
    this.generation += 1;
    clearTimeout(this.retry);
    clearTimeout(this.pulse);
    this.retry = undefined;
    const socket = this.socket;
    this.socket = null;
    if (socket !== null && socket.readyState < 2) socket.close(1000);
  }

  private become(state: LinkState, retryAt: number | null = null): void {
    this.state = state;
    this.around.onState(state, retryAt);
  }

  private beat(): void {
    clearTimeout(this.pulse);
    this.pulse = setTimeout(() => this.ping(), PING_MS);
  }

  private ping(): void {
    this.send({ type: 'ping', id: 0 });
    this.expectSoon();
  }

  private expectSoon(): void {
    clearTimeout(this.pulse);
    this.pulse = setTimeout(() => this.later(0), SILENCE_MS);
  }
}

/** Whose business a frame is. */
export function keyOf(frame: Frame): string | null {
  if (frame.type === 'changes') return 'changes';
  if (frame.type === 'space' && frame.space_id !== undefined) return `space:${frame.space_id}`;
  if (frame.request_id !== undefined) return `request:${frame.request_id}`;
  // Refused subscriptions and the like name what they answer; a topic may use its key as `ref`.
  return frame.ref ?? null;
}
