import type { Permission } from '@/api/types';

/** What no key can be given: docs/permissions.md. */
const PEOPLE_ONLY: readonly Permission[] = ['account', 'tenants:manage', 'workers:serve'];

/** What a key of somebody with these permissions can be given. */
export function keyScopes(permissions: Iterable<Permission>): Permission[] {
  return [...permissions].filter((one) => !PEOPLE_ONLY.includes(one)).sort();
}
