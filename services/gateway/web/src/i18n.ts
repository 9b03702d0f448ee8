/** Two languages; each is loaded when it is chosen. */
import type { Language as ElementLanguage } from 'element-plus/es/locale';
import { createI18n } from 'vue-i18n';

import { readPreference } from './stores/storage';

export const LANGUAGES = ['zh', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

interface Loaded {
  messages: Record<string, object>;
  element: ElementLanguage;
}

const LOADERS: Record<Language, () => Promise<Loaded>> = {
  zh: () => import('./locales/zh'),
  en: () => import('./locales/en'),
};

export const i18n = createI18n({ legacy: false, locale: 'en', missingWarn: false, fallbackWarn: false, messages: {} });

export function preferredLanguage(): Language {
  const kept = readPreference('language');
  if (kept === 'zh' || kept === 'en') return kept;
  return /^zh\b/i.test(navigator.language) ? 'zh' : 'en';
}

/** Speaks a language from now on; returns what Element Plus needs for it. */
export async function speak(language: Language): Promise<ElementLanguage> {
  const { messages, element } = await LOADERS[language]();
  i18n.global.setLocaleMessage(language, messages);
  i18n.global.locale.value = language;
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  return element;
}
