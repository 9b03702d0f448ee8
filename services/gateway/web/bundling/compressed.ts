import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

import type { Plugin } from 'vite';

const LEAST_BYTES = 1024;
const TEXT = /\.(js|css|svg|html|json)$/;
const brotli = promisify(brotliCompress);
const zip = promisify(gzip);

/** Writes .br and .gz beside what is built, so that no gateway packs the same file twice. */
export function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    async writeBundle(options, bundle) {
      const folder = options.dir ?? '';
      for (const name of Object.keys(bundle)) {
        if (!TEXT.test(name) || name.startsWith('.vite/')) continue;
        const path = join(folder, name);
        // As it was written: the bundler's own copy may still hold placeholders.
        const source = await readFile(path);
        if (source.length < LEAST_BYTES) continue;
        const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 10 } };
        await writeFile(`${path}.br`, await brotli(source, quality));
        await writeFile(`${path}.gz`, await zip(source, { level: 9 }));
      }
    },
  };
}
