import 'element-plus/theme-chalk/base.css';
import 'element-plus/theme-chalk/dark/css-vars.css';
import './styles/page.css';

import { createPinia } from 'pinia';
import { createApp } from 'vue';

import App from './App.vue';
import { i18n } from './i18n';
import { makeRouter } from './router';
import { usePreferences } from './stores/preferences';

async function start(): Promise<void> {
  const app = createApp(App).use(createPinia()).use(i18n);
  await usePreferences().load();
  app.use(makeRouter()).mount('#app');
}

void start();
