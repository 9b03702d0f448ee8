import { Setting } from '@element-plus/icons-vue';
import type { RouteRecordRaw } from 'vue-router';

import { SECTIONS } from './sections';

const routes: RouteRecordRaw[] = [
  {
    path: '/admin',
    component: () => import('./AdminPage.vue'),
    meta: {
      title: 'admin.title',
      permissions: SECTIONS.flatMap((section) => section.permissions),
      navigation: { order: 30, icon: Setting },
    },
    children: [
      { path: '', name: 'admin', component: () => import('./FirstSection.vue'), meta: { title: 'admin.title' } },
      ...SECTIONS.map((section) => ({
        path: section.name,
        name: `admin-${section.name}`,
        component: section.component,
        meta: { title: `admin.sections.${section.name}`, permissions: section.permissions },
      })),
    ],
  },
];

export default routes;
