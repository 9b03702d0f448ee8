/** The parts of the admin's pages, each for whoever may see what is in it. */
import type { Component } from 'vue';

import type { Permission } from '@/api/types';

export interface Section {
  name: 'workers' | 'queues' | 'people' | 'tenants' | 'tokens' | 'audit' | 'system';
  permissions: readonly Permission[];
  component: () => Promise<Component>;
}

export const SECTIONS: readonly Section[] = [
  { name: 'workers', permissions: ['workers:manage'], component: () => import('./WorkersSection.vue') },
  { name: 'queues', permissions: ['workers:manage'], component: () => import('./QueuesSection.vue') },
  { name: 'people', permissions: ['users:manage'], component: () => import('./PeopleSection.vue') },
  { name: 'tenants', permissions: ['tenants:manage', 'users:manage'], component: () => import('./TenantsSection.vue') },
  { name: 'tokens', permissions: ['workers:manage'], component: () => import('./TokensSection.vue') },
  { name: 'audit', permissions: ['audit:read'], component: () => import('./AuditSection.vue') },
  { name: 'system', permissions: ['tenants:manage'], component: () => import('./SystemSection.vue') },
];
