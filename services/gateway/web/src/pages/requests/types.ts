/** The API's shapes that only these pages use. */
import type { components } from '@/api/schema';
import type { RequestState } from '@/api/types';

type Schemas = components['schemas'];

export type ListedRequest = Schemas['RequestRow'];
export type Details = Schemas['DetailsDocument'];
export type Attempt = Schemas['AttemptDocument'];
export type MassOutcome = Schemas['MassOutcome'];

export const STATES: readonly RequestState[] = ['queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'];

export function isOver(state: RequestState): boolean {
  return state !== 'queued' && state !== 'running';
}
