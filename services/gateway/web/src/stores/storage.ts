/** What this browser remembers for a person. Storage may be off: then nothing is remembered. */
type Preference = 'theme' | 'language' | 'signedIn';

export function readPreference(name: Preference): string | null {
  try {
    return localStorage.getItem(`spaces.${name}`);
  } catch {
    return null;
  }
}

export function keepPreference(name: Preference, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`spaces.${name}`);
    else localStorage.setItem(`spaces.${name}`, value);
  } catch {
    // The choice holds until the page is left.
  }
}
