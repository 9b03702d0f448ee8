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
];

export default routes;
