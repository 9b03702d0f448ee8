import { describe, expect, it } from 'vitest';

import { Access } from '@/api/access';
import { Api } from '@/api/client';
import { UNREACHABLE } from '@/api/problem';

interface Call {
  url: string;
  method: string;
  token: string | null;
  body: unknown;
}

function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}

const refused = (code: string, status = 401) => json(status, { code, status, detail: 'no', title: 'no' });

/** A gateway of answers in order. */
function gateway(...answers: (Response | Error)[]) {
  const calls: Call[] = [];
  const fetch = async (url: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const headers = new Headers(init?.headers);
    calls.push({ url: String(url), method: init?.method ?? 'GET', token: headers.get('authorization'), body: init?.body });
    const answer = answers.shift();
    if (answer === undefined) throw new Error(`nobody answers ${String(url)}`);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  let signedIn = false;
  const hint = { get: () => signedIn, set: (now: boolean) => void (signedIn = now) };
  const access = new Access(fetch, null, () => 0, hint);
  return { calls, api: new Api(fetch, access), access };
}

const token = (name: string) => json(200, { access_token: name, expires_in: 900 });

describe('a call', () => {
  it('fills the path, the query and the body', async () => {
    const { api, calls } = gateway(json(200, { spaces: [] }), json(200, {}));
    await api.get('/api/spaces', { query: { limit: 5, cursor: undefined, name: 'a b' } });
    await api.patch('/api/spaces/{space}', { path: { space: 'acme/poems' }, body: { enabled: false } });
    expect(calls.map((call) => call.url)).toEqual(['/api/spaces?limit=5&name=a+b', '/api/spaces/acme%2Fpoems']);
    expect(calls[1]?.body).toBe('{"enabled":false}');
  });

  it('is made once more with a renewed token', async () => {
    const { api, access, calls } = gateway(refused('token_expired'), token('new'), json(200, { name: 'ada' }));
    access.take({ access_token: 'old', expires_in: 900 });
    expect(await api.get('/api/me')).toEqual({ name: 'ada' });
    expect(calls.map((call) => call.token)).toEqual(['Bearer old', null, 'Bearer new']);
  });

  it('renews once for many calls', async () => {
    const { api, access, calls } = gateway(
      refused('token_expired'), refused('token_expired'), token('new'), json(200, {}), json(200, {}),
    );
    access.take({ access_token: 'old', expires_in: 900 });
    await Promise.all([api.get('/api/me'), api.get('/api/me')]);
    expect(calls.filter((call) => call.url === '/auth/jwt/refresh')).toHaveLength(1);
  });

  it('tells when the login has ended', async () => {
    const { api, access } = gateway(refused('token_revoked'), refused('token_revoked'));
    access.take({ access_token: 'old', expires_in: 900 });
    let told = 0;
    api.onSignedOut = () => told++;
    await expect(api.get('/api/me')).rejects.toMatchObject({ code: 'token_revoked', status: 401 });
    expect([told, access.signedIn]).toEqual([1, false]);
  });

  it('throws the code and the message of a problem', async () => {
    const { api } = gateway(
      json(422, { code: 'invalid_request', status: 422, detail: 'name: too long', errors: [{ pointer: '#/name', detail: 'too long' }] }),
    );
    await expect(api.post('/api/spaces', { body: { name: 'x' } })).rejects.toMatchObject({
      code: 'invalid_request', message: 'name: too long', fields: [{ pointer: '#/name' }],
    });
  });

  it('tells trouble on the way from a refusal', async () => {
    const { api } = gateway(new TypeError('Failed to fetch'), new Response('<html>', { status: 502, statusText: 'Bad Gateway' }));
    await expect(api.get('/api/me')).rejects.toMatchObject({ code: UNREACHABLE });
    await expect(api.get('/api/me')).rejects.toMatchObject({ code: 'http_502', status: 502 });
  });
});

describe('the login', () => {
  it('goes on with the cookie that another page was just given', async () => {
    const { access, calls } = gateway(token('first'), refused('unauthenticated'), token('second'));
    await access.renew();
    expect(await access.renew()).toBe(true);
    expect(calls).toHaveLength(3);
  });

  it('is asked for once by who was never here', async () => {
    const { access, calls } = gateway(refused('unauthenticated'));
    expect(await access.renew()).toBe(false);
    expect(calls).toHaveLength(1);
  });

  it('is not asked for again once it was ended', async () => {
    const { access, calls } = gateway(token('first'), refused('token_revoked'), refused('unauthenticated'));
    await access.renew();
    expect(await access.renew()).toBe(false);
    expect(await access.renew()).toBe(false);
    expect(calls).toHaveLength(3);
  });

  it('is not lost because a gateway is down', async () => {
    const { access } = gateway(refused('unavailable', 503), token('later'));
    await expect(access.renew()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await access.renew()).toBe(true);
  });
});
