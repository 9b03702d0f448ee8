/** Ids begin with the millisecond in which a gateway took the request, in Crockford's base 32. */
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
const TIME_DIGITS = 10;

export function madeAt(id: string): number {
  let value = 0;
  for (const digit of id.slice(0, TIME_DIGITS)) value = value * 32 + Math.max(0, DIGITS.indexOf(digit));
  return value;
}

/** The end of an id is what tells two of the same moment apart. */
export function short(id: string): string {
  return `…${id.slice(-8)}`;
}
