type Unit = Intl.RelativeTimeFormatUnit;

const STEPS: [Unit, number][] = [
  ['second', 60],
  ['minute', 60],
  ['hour', 24],
  ['day', 30],
  ['month', 12],
  ['year', Infinity],
];

/** A moment seen from now: "3 minutes ago". */
export function relative(then: number, now: number, locale: string): string {
  let amount = (then - now) / 1000;
  if (Math.abs(amount) < 5) amount = 0;
  const format = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  for (const [unit, most] of STEPS) {
    if (Math.abs(amount) < most) return format.format(Math.round(amount), unit);
    amount /= most;
  }
  return '';
}

/** How long something takes or took. */
export function duration(seconds: number, locale: string): string {
  const number = (value: number, unit: string, digits = 0): string =>
    new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: digits }).format(value);
  if (seconds < 1) return number(Math.round(seconds * 1000), 'millisecond');
  if (seconds < 10) return number(seconds, 'second', 1);
  const whole = Math.round(seconds);
  if (whole < 60) return number(whole, 'second');
  if (whole < 3600) return `${number(Math.floor(whole / 60), 'minute')} ${number(whole % 60, 'second')}`;
  return `${number(Math.floor(whole / 3600), 'hour')} ${number(Math.floor((whole % 3600) / 60), 'minute')}`;
}

/** Bytes as people read them. */
export function size(bytes: number, locale: string): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'];
  let amount = bytes;
  let step = 0;
  while (amount >= 1000 && step < units.length - 1) {
    amount /= 1000;
    step += 1;
  }
  const unit = units[step] ?? 'byte';
  return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: step ? 1 : 0 }).format(amount);
}
