import { flushPromises, mount } from '@vue/test-utils';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { api } from '@/api/client';
import { Problem } from '@/api/problem';
import type { Space } from '@/api/types';
import { i18n } from '@/i18n';
import CoverChooser from '@/pages/spaces/CoverChooser.vue';
import { type CoverChoice, MAX_COVER_BYTES, refusal, saveCover } from '@/pages/spaces/coverPicture';
import SpaceCover from '@/pages/spaces/SpaceCover.vue';

const cover = { cover_id: 'c1', sha256: '0', media_type: 'image/png', size_bytes: 3 };
const bare = { space_id: 's1', name: 'poems' } as Space;
const covered = { ...bare, cover } as Space;
const picture = new File(['png'], 'a.png', { type: 'image/png' });

afterEach(() => vi.unstubAllGlobals());

function answers(answer: () => Response): ReturnType<typeof vi.spyOn> {
  vi.stubGlobal('IntersectionObserver', undefined);
  return vi.spyOn(api, 'call').mockImplementation(() => Promise.resolve(answer()));
}

describe('a file that is to be a cover', () => {
  it.each([
    ['image/png', 1, null],
    ['image/webp', MAX_COVER_BYTES, null],
    ['image/jpeg', MAX_COVER_BYTES + 1, 'coverTooLarge'],
    ['image/svg+xml', 1, 'coverNoPicture'],
    ['', 1, 'coverNoPicture'],
  ])('%s of %i bytes: %s', (type, size, expected) => {
    expect(refusal({ type, size })).toBe(expected);
  });

  it('is put as it is, taken away, or left alone', async () => {
    const call = answers(() => Response.json(covered));
    expect(await saveCover(bare, { kind: 'new', file: picture })).toEqual(covered);
    expect(call).toHaveBeenLastCalledWith('/api/spaces/s1/cover', {
      method: 'PUT', body: picture, headers: { 'content-type': 'image/png' },
    });
    await saveCover(covered, { kind: 'none' });
    expect(call).toHaveBeenLastCalledWith('/api/spaces/s1/cover', { method: 'DELETE' });
    call.mockClear();
    expect(await saveCover(bare, { kind: 'none' })).toBe(bare);
    expect(await saveCover(covered, { kind: 'keep' })).toBe(covered);
    expect(call).not.toHaveBeenCalled();
  });
});

describe('the cover of a space', () => {
  it('is the picture once it is there, and again the colours when it is taken away', async () => {
    const call = answers(() => new Response('png'));
    const shown = mount(SpaceCover, { props: { name: 'poems', space: covered } });
    expect(shown.text()).toBe('PO');
    await flushPromises();
    expect(shown.get('img').attributes('src')).toMatch(/^blob:/);
    await shown.setProps({ space: { ...covered } });
    expect(call).toHaveBeenCalledTimes(1);
    await shown.setProps({ space: bare });
    await flushPromises();
    expect(shown.find('img').exists()).toBe(false);
  });

  it('is the colours when the picture cannot be had', async () => {
    vi.stubGlobal('IntersectionObserver', undefined);
    vi.spyOn(api, 'call').mockRejectedValue(new Problem({ code: 'file_not_found' }));
    const shown = mount(SpaceCover, { props: { name: 'poems', space: covered } });
    await flushPromises();
    expect(shown.text()).toBe('PO');
  });
});

describe('choosing a cover', () => {
  async function pick(file: File): Promise<{ text: string; chosen: CoverChoice[] }> {
    const shown = mount(CoverChooser, {
      props: { modelValue: { kind: 'keep' }, space: null, name: 'poems' },
      global: { plugins: [i18n] },
    });
    const input = shown.get('input[type=file]');
    Object.defineProperty(input.element, 'files', { value: [file], configurable: true });
    await input.trigger('change');
    return { text: shown.text(), chosen: (shown.emitted('update:modelValue') ?? []).flat() as CoverChoice[] };
  }

  it('takes a picture and says what is wrong with anything else', async () => {
    expect((await pick(picture)).chosen).toEqual([{ kind: 'new', file: picture }]);
    const refused = await pick(new File(['<svg/>'], 'a.svg', { type: 'image/svg+xml' }));
    expect(refused.chosen).toEqual([]);
    expect(refused.text).toContain(i18n.global.t('spaces.coverNoPicture'));
  });
});
