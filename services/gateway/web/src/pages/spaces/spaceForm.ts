import type { InputKind, NewSpace, Space, SpaceChange, SpacePolicy, Visibility } from '@/api/types';

export const INPUT_KINDS: readonly InputKind[] = ['prompt', 'image', 'audio', 'video', 'file'];

export const POLICY: SpacePolicy = {
  max_connections: 1,
  when_offline: 'reject',
  max_queue: 1000,
  queue_timeout_s: 120,
  run_timeout_s: 120,
  timeout_s: 120,
  max_attempts: 3,
  retry_after_start: true,
};

export interface SpaceForm {
  name: string;
  description: string;
  tenantId: string;
  enabled: boolean;
  inputs: InputKind[];
  visibility: Visibility;
  policy: SpacePolicy;
}

export function formOf(space: Space | null): SpaceForm {
  return {
    name: space?.name ?? '',
    description: space?.description ?? '',
    tenantId: space?.tenant_id ?? '',
    enabled: space?.enabled ?? true,
    inputs: [...(space?.inputs ?? (['prompt'] as InputKind[]))],
    visibility: space?.visibility ?? 'tenant',
    policy: { ...POLICY, ...space?.policy },
  };
}

export function newSpace(form: SpaceForm): NewSpace {
  return {
    name: form.name.trim(),
    description: form.description,
    tenant_id: form.tenantId || null,
    enabled: form.enabled,
    inputs: inOrder(form.inputs),
    visibility: form.visibility,
    policy: { ...form.policy },
  };
}

/** Only what differs, so that somebody else's change of another field stays. */
export function changeOf(space: Space, form: SpaceForm): SpaceChange {
  const now = formOf(space);
  const change: SpaceChange = {};
  if (form.name.trim() !== now.name) change.name = form.name.trim();
  if (form.description !== now.description) change.description = form.description;
  if (form.enabled !== now.enabled) change.enabled = form.enabled;
  if (form.visibility !== now.visibility) change.visibility = form.visibility;
  if (inOrder(form.inputs).join() !== inOrder(now.inputs).join()) change.inputs = inOrder(form.inputs);
  const rules = Object.entries(form.policy).filter(
    ([rule, value]) => value !== now.policy[rule as keyof SpacePolicy],
  );
  if (rules.length) change.policy = Object.fromEntries(rules) as unknown as SpacePolicy;
  return change;
}

function inOrder(kinds: readonly InputKind[]): InputKind[] {
  return INPUT_KINDS.filter((kind) => kinds.includes(kind));
}
