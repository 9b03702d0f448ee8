import type { Permission, Principal } from '@/api/types';

const MEMBER: readonly Permission[] = [
  'requests:read', 'requests:write', 'spaces:read', 'workers:read', 'keys:manage', 'account',
];
const OWNER: readonly Permission[] = [...MEMBER, 'spaces:write', 'workers:manage', 'users:manage', 'audit:read'];
const ADMIN: readonly Permission[] = [...OWNER, 'tenants:manage'];

/** What a person may do, so that pages offer no more; the gateway decides. docs/permissions.md is the table. */
export function permissionsOf(principal: Principal | null): ReadonlySet<Permission> {
  if (principal === null) return new Set();
  const byRole = { admin: ADMIN, owner: OWNER, member: MEMBER };
  return new Set(principal.role ? byRole[principal.role] : []);
}
