import { Grid } from '@element-plus/icons-vue';
import type { RouteRecordRaw } from 'vue-router';

const routes: RouteRecordRaw[] = [
  { path: '/', redirect: '/spaces' },
  {
    path: '/spaces',
    name: 'spaces',
    component: () => import('./SpacesPage.vue'),
    meta: { title: 'spaces.title', permissions: ['spaces:read'], navigation: { order: 10, icon: Grid } },
  },
  {
    path: '/spaces/:space',
    name: 'space',
    component: () => import('./SpacePage.vue'),
    props: (route) => ({ named: route.params.space }),
    meta: { title: 'space.title', permissions: ['spaces:read', 'requests:read', 'requests:write'] },
  },
];

export default routes;
