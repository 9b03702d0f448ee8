/** The same request as somebody would send it from a shell or a program. Keys are named, never filled in. */
import type { Details } from './types';

interface Input {
  prompt?: string;
  parameters?: Record<string, unknown>;
}

function bodyOf(details: Details): Record<string, unknown> {
  const input = (details.input ?? {}) as Input;
  const files = (details.files ?? []).map((file) => file.file_id);
  return {
    ...(input.prompt === undefined ? {} : { prompt: input.prompt }),
    ...(input.parameters && Object.keys(input.parameters).length ? { parameters: input.parameters } : {}),
    ...(files.length ? { files } : {}),
    ...(details.priority ? { priority: details.priority } : {}),
  };
}

export function curl(details: Details, origin: string): string {
  const body = JSON.stringify(bodyOf(details)).replaceAll("'", `'\\''`);
  return [
    `curl "${origin}/api/spaces/${details.space_id}/requests?wait=30"`,
    `-H "Authorization: Bearer $SPACES_API_KEY"`,
    `-H "Content-Type: application/json"`,
    `-d '${body}'`,
  ].join(' \\\n  ');
}

export function python(details: Details, origin: string): string {
  const { files, ...body } = bodyOf(details);
  const given = Object.entries(body).map(([name, value]) => `        ${name}=${literal(value)},`);
  const names = files ? (details.files ?? []).map((file) => file.name) : [];
  return [
    'import os',
    '',
    'from spaces_client import Spaces',
    '',
    `spaces = Spaces(${literal(origin)}, os.environ["SPACES_API_KEY"])`,
    'request = spaces.submit(',
    `    ${literal(details.space_id)},`,
    ...given.map((line) => line.slice(4)),
    ...(names.length ? [`    files=${literal(names)},  # paths on your computer`] : []),
    ')',
    'print(spaces.result(request.request_id).output)',
    '',
  ].join('\n');
}

/** JSON as Python writes it. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value === 'object') {
    return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`).join(', ')}}`;
  }
  return JSON.stringify(value);
}
