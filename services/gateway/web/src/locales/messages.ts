/** Files of one language as one tree: `./zh/spaces.json` holds what begins with `spaces.` */
export function tree(files: Record<string, object>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(files).map(([path, messages]) => [path.replace(/^.*\/(\w+)\.json$/, '$1'), messages]),
  );
}
