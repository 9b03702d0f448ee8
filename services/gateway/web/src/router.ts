/** All pages. Each area lists its own in `pages/<area>/routes.ts`; nothing is added here. */
import { createRouter, createWebHistory, type Router, type RouteRecordRaw } from 'vue-router';

import { useSession } from './stores/session';

const areas = import.meta.glob<RouteRecordRaw[]>('./pages/*/routes.ts', { eager: true, import: 'default' });

export const routes: RouteRecordRaw[] = Object.values(areas).flat();

export function makeRouter(): Router {
  const router = createRouter({
    history: createWebHistory(),
    routes,
    scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
  });
  router.beforeEach(async (to) => {
    const session = useSession();
    if (to.meta.open || (await session.resume())) return true;
    return { name: 'sign-in', query: to.fullPath === '/' ? {} : { next: to.fullPath } };
  });
  return router;
}
