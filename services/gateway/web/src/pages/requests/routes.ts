import { Tickets } from '@element-plus/icons-vue';
import type { RouteRecordRaw } from 'vue-router';

const routes: RouteRecordRaw[] = [
  {
    path: '/requests',
    name: 'requests',
    component: () => import('./RequestsPage.vue'),
    meta: { title: 'requests.title', permissions: ['requests:read'], navigation: { order: 20, icon: Tickets } },
  },
  {
    path: '/requests/:id',
    name: 'request',
    component: () => import('./RequestPage.vue'),
    props: (route) => ({ id: String(route.params.id) }),
    meta: { title: 'requests.one', permissions: ['requests:read'] },
  },
];

export default routes;
