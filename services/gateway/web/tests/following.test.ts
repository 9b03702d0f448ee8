import { describe, expect, it } from 'vitest';
import { effectScope, nextTick, ref } from 'vue';

import { followingWhileSeen } from '@/live/following';

function spy() {
  const said: string[] = [];
  const use = followingWhileSeen((id) => {
    said.push(`+${id}`);
    return () => said.push(`-${id}`);
  });
  return { said, use };
}

describe('what is followed while it is seen', () => {
  it('is followed once however many look, until the last one leaves', () => {
    const { said, use } = spy();
    const [first, second] = [effectScope(), effectScope()];
    first.run(() => use(ref(['a'])));
    second.run(() => use(ref(['a', 'b'])));
    expect(said).toEqual(['+a', '+b']);
    first.stop();
    expect(said).toEqual(['+a', '+b']);
    second.stop();
    expect(said).toEqual(['+a', '+b', '-a', '-b']);
  });

  it('changes with what is shown', async () => {
    const { said, use } = spy();
    const scope = effectScope();
    const ids = ref(['a', 'b']);
    scope.run(() => use(ids));
    ids.value = ['b', 'c'];
    await nextTick();
    expect(said).toEqual(['+a', '+b', '-a', '+c']);
    scope.stop();
  });

  it('begins anew for who comes back', () => {
    const { said, use } = spy();
    for (let turn = 0; turn < 2; turn++) {
      const scope = effectScope();
      scope.run(() => use(ref(['a'])));
      scope.stop();
    }
    expect(said).toEqual(['+a', '-a', '+a', '-a']);
  });
});
