import { fileURLToPath } from 'node:url';

import vue from '@vitejs/plugin-vue';
import { ElementPlusResolver } from 'unplugin-vue-components/resolvers';
import components from 'unplugin-vue-components/vite';
import { defineConfig } from 'vitest/config';

import { compressed } from './bundling/compressed.ts';

// Where the stack is: eval "$(spaces-stack env)" sets it, and `make web-dev` does so.
const gateway = process.env.SPACES_URL ?? 'http://127.0.0.1:8080';
const toGateway = ['/api', '/auth', '/files', '/docs', '/openapi.json', '/health', '/.well-known'];

export default defineConfig({
  plugins: [
    vue(),
    // Element Plus by what the templates name; everything else is imported in sight.
    components({
      dirs: [],
      dts: 'src/elements.d.ts',
      resolvers: [ElementPlusResolver({ importStyle: 'css' })],
    }),
    compressed(),
  ],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  define: {
    __VUE_OPTIONS_API__: 'true', // Element Plus has components in that style
    __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_I18N_LEGACY_API__: 'false',
    __INTLIFY_PROD_DEVTOOLS__: 'false',
  },
  build: {
    outDir: '../src/spaces_gateway/web',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy takes nothing inline
    modulePreload: { polyfill: false },
    manifest: true,
  },
  server: {
    host: '127.0.0.1',
    proxy: {
      ...Object.fromEntries(toGateway.map((path) => [path, { target: gateway, xfwd: true }])),
      '/ws': { target: gateway, ws: true },
    },
  },
  test: {
    environment: 'happy-dom',
    include: ['tests/**/*.test.ts'],
    restoreMocks: true,
    server: { deps: { inline: ['element-plus'] } },
  },
});
