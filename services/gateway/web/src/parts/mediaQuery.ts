import { onScopeDispose, readonly, ref, type Ref } from 'vue';

/** Whether a media query holds, as it changes. */
export function useMediaQuery(query: string): Readonly<Ref<boolean>> {
  const media = window.matchMedia(query);
  const holds = ref(media.matches);
  const changed = (): void => void (holds.value = media.matches);
  media.addEventListener('change', changed);
  onScopeDispose(() => media.removeEventListener('change', changed));
  return readonly(holds);
}
