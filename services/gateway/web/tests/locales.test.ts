import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { messages as en } from '@/locales/en';
import { messages as zh } from '@/locales/zh';

const SOURCE = join(import.meta.dirname, '../src');

function keys(tree: object, above = ''): string[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null ? keys(value as object, `${above}${name}.`) : [`${above}${name}`],
  );
}

function sources(): string[] {
  return readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter(
    (name) => /\.(ts|vue)$/.test(name) && !name.endsWith('.d.ts'),
  );
}

/** Keys as the code names them: t('a.b'), titles of routes, and beginnings such as t(`a.b.${kind}`). */
function used(): { exact: Set<string>; beginnings: Set<string> } {
  const exact = new Set<string>();
  const beginnings = new Set<string>();
  for (const name of sources()) {
    const text = readFileSync(join(SOURCE, name), 'utf8');
    for (const [, key] of text.matchAll(/\bt\(\s*'([\w.]+)'/g)) exact.add(key ?? '');
    for (const [, key] of text.matchAll(/\btitle: '(\w+\.[\w.]+)'/g)) exact.add(key ?? '');
    for (const [, key] of text.matchAll(/\bt\(\s*`([\w.]+)\$\{/g)) beginnings.add(key ?? '');
    for (const [, key] of text.matchAll(/\bkeypath="([\w.]+)"/g)) exact.add(key ?? '');
  }
  return { exact, beginnings };
}

describe('messages', () => {
  it('are the same in both languages', () => {
    expect(keys(zh).sort()).toEqual(keys(en).sort());
  });

  it('are all there', () => {
    const known = new Set(keys(en));
    const { exact, beginnings } = used();
    expect([...exact].filter((key) => !known.has(key))).toEqual([]);
    expect([...beginnings].filter((start) => ![...known].some((key) => key.startsWith(start)))).toEqual([]);
  });

  it('are all used', () => {
    const { exact, beginnings } = used();
    const unused = keys(en).filter((key) => !exact.has(key) && ![...beginnings].some((start) => key.startsWith(start)));
    expect(unused).toEqual([]);
  });

  it('say something', () => {
    const empty = (tree: object): string[] =>
      keys(tree).filter((key) => key.split('.').reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], tree) === '');
    expect([...empty(en), ...empty(zh)]).toEqual([]);
  });
});
