import { api } from '@/api/client';

/** Who may register: whoever wants to, whoever is invited, nobody. */
export type Registration = 'open' | 'invite' | 'closed';

export async function registration(): Promise<Registration> {
  return (await api.get('/auth/registration')).registration;
}
