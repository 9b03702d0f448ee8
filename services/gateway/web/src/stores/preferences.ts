import type { Language as ElementLanguage } from 'element-plus/es/locale';
import { defineStore } from 'pinia';
import { ref, shallowRef } from 'vue';

import { type Language, preferredLanguage, speak } from '@/i18n';

import { keepPreference, readPreference } from './storage';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

/** How a person wants to see the application; kept in this browser. */
export const usePreferences = defineStore('preferences', () => {
  const theme = ref<Theme>(keptTheme());
  const language = ref<Language>(preferredLanguage());
  const elementLanguage = shallowRef<ElementLanguage>();
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', paint);

  function paint(): void {
    const isDark = theme.value === 'dark' || (theme.value === 'system' && dark.matches);
    document.documentElement.classList.toggle('dark', isDark);
  }

  function setTheme(chosen: Theme): void {
    theme.value = chosen;
    keepPreference('theme', chosen === 'system' ? null : chosen);
    paint();
  }

  async function setLanguage(chosen: Language): Promise<void> {
    await load(chosen);
    keepPreference('language', chosen);
  }

  /** Speaks the language that holds; called once at the start. */
  async function load(chosen: Language = language.value): Promise<void> {
    elementLanguage.value = await speak(chosen);
    language.value = chosen;
  }

  return { theme, language, elementLanguage, setTheme, setLanguage, load, paint };
});

function keptTheme(): Theme {
  const kept = readPreference('theme');
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}
