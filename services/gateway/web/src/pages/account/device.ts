const BROWSERS: [RegExp, string][] = [
  [/\bEdg\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bFirefox\//, 'Firefox'],
  [/Chrom(e|ium)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
  [/^python|httpx|curl/i, 'API client'],
];
const SYSTEMS: [RegExp, string][] = [
  [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X|Macintosh/, 'macOS'],
  [/Linux/, 'Linux'],
];

/** What a browser says it is, in two words. */
export function deviceOf(userAgent: string): string {
  const name = (list: [RegExp, string][]): string => list.find(([sign]) => sign.test(userAgent))?.[1] ?? '';
  return [name(BROWSERS), name(SYSTEMS)].filter(Boolean).join(' · ') || userAgent.slice(0, 40);
}
