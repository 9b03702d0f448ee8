/** What is followed while somebody looks at it: once, however many components ask. */
import { onScopeDispose, type Ref, watch } from 'vue';

type Stop = () => void;

/** Gives what a component calls with the ids that it shows now. `begin` says how one is followed and how that ends. */
export function followingWhileSeen(begin: (id: string) => Stop): (ids: Ref<readonly string[]>) => void {
  const followed = new Map<string, { count: number; stop: Stop }>();

  function follow(id: string): Stop {
    const entry = followed.get(id) ?? { count: 0, stop: begin(id) };
    followed.set(id, entry);
    entry.count += 1;
    return () => {
      entry.count -= 1;
      if (entry.count > 0) return;
      followed.delete(id);
      entry.stop();
    };
  }

  return (ids) => {
    const stops = new Map<string, Stop>();
    watch(
      ids,
      (now) => {
        for (const [id, stop] of stops) {
          if (now.includes(id)) continue;
          stop();
          stops.delete(id);
        }
        for (const id of now) if (!stops.has(id)) stops.set(id, follow(id));
      },
      { immediate: true },
    );
    onScopeDispose(() => stops.forEach((stop) => stop()));
  };
}
