/** What was measured, as numbers and as text. Pure. */

/** Of values measured alike, at least five where it says nothing else. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

export const spreadOf = (values: readonly number[]): Spread => ({
  median: percentile(values, 50),
  min: Math.min(...values),
  max: Math.max(...values),
});

/** The value that so many percent of them do not exceed. */
export const percentile = (values: readonly number[], percent: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil((sorted.length * percent) / 100) - 1, 0)] ?? Number.NaN;
};

export const textOf = ({ median, min, max }: Spread, unit: string): string =>
  `${short(median)} ${unit} (${short(min)}–${short(max)})`;

/** Three digits that mean something; a thousand and more whole. */
export const short = (value: number): string =>
  Math.abs(value) >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));

export const ratio = (value: number, to: number): string => `${short(value / to)} ×`;
