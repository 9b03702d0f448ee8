/** Where to after signing in: only a place of this application, whatever somebody put into a link. */
export function nextPage(next: unknown): string {
  const inside = typeof next === 'string' && /^\/(?![/\\])/.test(next);
  return inside ? next : '/';
}
