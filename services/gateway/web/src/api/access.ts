/**
 * The access token: in memory only. It is renewed with a cookie that no script can read.
 *
 * A cookie is good for one exchange, so tabs take turns, and an exchange is finished even when its page is left or
 * reloaded in the middle. Whoever comes while another's is still on its way asks again with the cookie that follows.
 */
import { readPreference, keepPreference } from '@/stores/storage';

import { problemOf, unreachable } from './problem';

export interface AccessToken {
  access_token: string;
  expires_in: number;
}

export type Fetch = typeof fetch;
type Exclusively = <T>(work: () => Promise<T>) => Promise<T>;

const LOCK = 'spaces.refresh';
/** Renewed this long before its end, so that no call meets an expired one. */
const EARLY_S = 30;
/** How often an exchange is tried again when another one came first, and after how long. */
const TURNS = 4;
const TURN_MS = 100;

/** Whether this browser was signed in when it was here last. Nothing but a hint: it says who is worth a second try. */
export interface LoginHint {
  get: () => boolean;
  set: (signedIn: boolean) => void;
}

export class Access {
  private token: string | null = null;
  private goodUntil = 0;
  private renewing: Promise<boolean> | null = null;

  constructor(
    private readonly fetch: Fetch,
    /** Null where browsers have no locks: on plain http from another machine. */
    private readonly exclusively: Exclusively | null = oneTabAtATime(),
    private readonly now: () => number = () => performance.now(),
    private readonly hint: LoginHint = loginHint,
  ) {}

  get signedIn(): boolean {
    return this.token !== null;
  }

  /** Whether this browser was signed in when it was here last, so that asking is worth it. */
  get mayGoOn(): boolean {
    return this.hint.get();
  }

  take(given: AccessToken): void {
    this.token = given.access_token;
    this.hint.set(true);
    this.goodUntil = this.now() + (given.expires_in - EARLY_S) * 1000;
  }

  forget(): void {
    this.token = null;
    this.goodUntil = 0;
    this.hint.set(false);
  }

  /** A token to call with; null when nobody is signed in. */
  async bearer(): Promise<string | null> {
    if (this.token !== null && this.now() >= this.goodUntil) await this.renew();
    return this.token;
  }

  /** Exchanges the cookie; false when there is no login any more. Throws when the gateway cannot be asked. */
  renew(): Promise<boolean> {
    this.renewing ??= (this.exclusively ?? alone)(() => this.exchange()).finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  private async exchange(): Promise<boolean> {
    for (let turn = 1; ; turn++) {
      let answer: Response;
      try {
        answer = await this.fetch('/auth/jwt/refresh', { method: 'POST', keepalive: true });
      } catch (error) {
        throw unreachable(error);
      }
      if (answer.ok) {
        this.take((await answer.json()) as AccessToken);
        return true;
      }
      const problem = await problemOf(answer);
      if (problem.status >= 500 || problem.status === 429) throw problem;
      // A page that was left, or another tab, may just have used this cookie: its successor is on its way.
      if (!this.hint.get() || turn >= TURNS || problem.code !== 'unauthenticated') {
        this.forget();
        return false;
      }
      await new Promise((resolve) => setTimeout(resolve, TURN_MS * turn));
    }
  }
}

function oneTabAtATime(): Exclusively | null {
  if (typeof navigator === 'undefined' || !('locks' in navigator)) return null;
  return <T>(work: () => Promise<T>) => navigator.locks.request(LOCK, work) as Promise<T>;
}

const loginHint: LoginHint = {
  get: () => readPreference('signedIn') !== null,
  set: (signedIn) => keepPreference('signedIn', signedIn ? '1' : null),
};

const alone: Exclusively = (work) => work();
