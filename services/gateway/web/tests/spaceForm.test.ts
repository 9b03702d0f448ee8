import { describe, expect, it } from 'vitest';

import type { Space } from '@/api/types';
import { hindrance } from '@/pages/spaces/readiness';
import { changeOf, formOf, newSpace } from '@/pages/spaces/spaceForm';
import { nextPage } from '@/pages/account/next';

const space = {
  space_id: 's', tenant_id: 't', tenant_name: 'acme', name: 'poems', description: '', enabled: true,
  inputs: ['prompt'], policy: formOf(null).policy,
} as unknown as Space;

describe('the form of a space', () => {
  it('sends only what was changed', () => {
    const form = formOf(space);
    expect(changeOf(space, form)).toEqual({});
    form.name = ' odes ';
    form.inputs = ['image', 'prompt'];
    form.policy.timeout_s = 5;
    expect(changeOf(space, form)).toEqual({ name: 'odes', inputs: ['prompt', 'image'], policy: { timeout_s: 5 } });
  });

  it('is of everybody in the tenant unless somebody says otherwise', () => {
    expect(newSpace({ ...formOf(null), name: 'x' }).visibility).toBe('tenant');
    expect(changeOf(space, { ...formOf(space), visibility: 'private' })).toEqual({ visibility: 'private' });
    expect(changeOf({ ...space, visibility: 'private' }, formOf(space))).toEqual({ visibility: 'tenant' });
  });

  it('makes a space of one\'s own tenant unless another is chosen', () => {
    expect(newSpace({ ...formOf(null), name: 'x' }).tenant_id).toBeNull();
  });
});

describe('submitting', () => {
  const queueing = { ...space, policy: { ...formOf(null).policy, when_offline: 'queue' } } as Space;
  it.each([
    [space, true, 'live', true, null],
    [space, false, 'live', true, 'notConnected'],
    [queueing, false, 'live', true, null],
    [space, true, 'offline', true, 'gatewayLost'],
    [{ ...space, enabled: false } as Space, true, 'live', true, 'disabled'],
    [space, true, 'live', false, 'forbidden'],
  ] as const)('case %#', (which, connected, link, may, expected) => {
    expect(hindrance(which, connected, link, may)).toBe(expected);
  });
});

describe('the page after signing in', () => {
  it.each([
    ['/spaces/x?request=1', '/spaces/x?request=1'],
    ['//evil.example', '/'],
    ['/\\evil.example', '/'],
    ['https://evil.example', '/'],
    [undefined, '/'],
    [['/a'], '/'],
  ])('%j leads to %s', (next, page) => {
    expect(nextPage(next)).toBe(page);
  });
});
