import type { ProblemDocument } from './types';

/** Trouble on the way to the gateway, which no gateway told us of. */
export const UNREACHABLE = 'gateway_unreachable';

/** What the gateway refused, with the stable code that its documentation lists. */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly whatToDo: string;
  readonly retryAfterS: number | null;
  readonly fields: readonly { pointer: string; detail: string }[];
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(document: Omit<Partial<ProblemDocument>, 'code'> & { code: string }) {
    super(document.detail ?? document.title ?? document.code);
    this.name = 'Problem';
    this.code = document.code;
    this.status = document.status ?? 0;
    this.whatToDo = document.what_to_do ?? '';
    this.retryAfterS = document.retry_after_s ?? null;
    this.fields = document.errors ?? [];
    this.facts = document.facts ?? {};
  }
}

/** The problem that an answer carries; a proxy between us may have sent something else. */
export async function problemOf(answer: Response): Promise<Problem> {
  try {
    const document: unknown = await answer.json();
    if (typeof document === 'object' && document !== null && 'code' in document) {
      return new Problem(document as ProblemDocument);
    }
  } catch {
    // Not JSON: the status says what is known.
  }
  return new Problem({ code: `http_${answer.status}`, status: answer.status, detail: answer.statusText || `HTTP ${answer.status}` });
}

export function unreachable(cause: unknown): Problem {
  const problem = new Problem({ code: UNREACHABLE, detail: 'The gateway cannot be reached.' });
  problem.cause = cause;
  return problem;
}

/** Any thrown thing as a problem, so that a page can always show a message and a code. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new Problem({ code: 'page_error', detail: text });
}
