import type { RouteRecordRaw } from 'vue-router';

const routes: RouteRecordRaw[] = [
  {
    path: '/:anything(.*)*',
    name: 'missing',
    component: () => import('./MissingPage.vue'),
    meta: { title: 'shell.notFound', open: true },
  },
];

export default routes;
