/** Typed calls of the HTTP API. The types are made from docs/openapi.json. */
import { Access, type Fetch } from './access';
import { problemOf, unreachable } from './problem';
import type { paths } from './schema';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof paths];
type Operation<P extends keyof paths, M extends Method> = paths[P] extends Record<M, infer O> ? O : never;
type Content<R> = R extends { content: { 'application/json': infer C } } ? C : undefined;
type Answer<O> = O extends { responses: infer R }
  ? Content<R[Extract<keyof R, 200 | 201 | 202>]>
  : never;
/** What has a default may be left out; the gateway says what is missing. */
type Partly<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: Partly<T[K]> } : T;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer B } } } ? Partly<B> : unknown;
type Parameters<O, Where extends 'path' | 'query'> = O extends { parameters: infer A }
  ? Where extends keyof A
    ? NonNullable<A[Where]>
    : never
  : never;

export interface Options<O> {
  path?: Parameters<O, 'path'>;
  query?: Parameters<O, 'query'>;
  body?: Body<O>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

type Call<M extends Method> = <P extends PathsWith<M>>(
  path: P,
  options?: Options<Operation<P, M>>,
) => Promise<Answer<Operation<P, M>>>;

export class Api {
  readonly access: Access;
  /** Told when a login that was there is no more. */
  onSignedOut: () => void = () => undefined;

  constructor(private readonly fetch: Fetch = (...call) => globalThis.fetch(...call), access?: Access) {
    this.access = access ?? new Access(this.fetch);
  }

  readonly get: Call<'get'> = (path, options) => this.json('get', path, options);
  readonly post: Call<'post'> = (path, options) => this.json('post', path, options);
  readonly patch: Call<'patch'> = (path, options) => this.json('patch', path, options);
  readonly delete: Call<'delete'> = (path, options) => this.json('delete', path, options);

  /** Any call with the caller's token: renewed once when it is refused. Throws Problem. */
  async call(url: string, init: RequestInit = {}): Promise<Response> {
    const before = await this.access.bearer();
    let answer = await this.send(url, init, before);
    if (answer.status === 401 && before !== null) {
      if (await this.access.renew()) answer = await this.send(url, init, await this.access.bearer());
      else this.onSignedOut();
    }
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }

  private async send(url: string, init: RequestInit, token: string | null): Promise<Response> {
    const headers = new Headers(init.headers);
    if (token !== null) headers.set('authorization', `Bearer ${token}`);
    try {
      return await this.fetch(url, { ...init, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw unreachable(error);
    }
  }

  private async json<T>(method: Method, path: string, options: Options<unknown> = {}): Promise<T> {
    const headers: Record<string, string> = { accept: 'application/json', ...options.headers };
    const init: RequestInit = { method: method.toUpperCase(), headers };
    if (options.signal) init.signal = options.signal;
    if (options.body !== undefined) {
      headers['content-type'] = 'application/json';
      init.body = JSON.stringify(options.body);
    }
    const answer = await this.call(address(path, options), init);
    if (answer.status === 204) return undefined as T;
    return (await answer.json()) as T;
  }
}

function address(path: string, options: { path?: unknown; query?: unknown }): string {
  const values = (options.path ?? {}) as Record<string, unknown>;
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name])));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries((options.query ?? {}) as Record<string, unknown>)) {
    if (value === undefined || value === null || value === '') continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  }
  return query.size ? `${filled}?${query}` : filled;
}

export const api = new Api();
