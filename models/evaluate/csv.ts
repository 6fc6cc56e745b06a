// Lines of comma-separated values (RFC 4180), for spreadsheets and pandas: what the network says of images, and confusion matrices.

import { probabilitiesOf, topClasses } from './classifier.ts'

/** Digits of a probability; more would be noise of the backend. */
const DIGITS = 6

/** Quoted where a value has what separates values; what spreadsheets would take for a formula gets an apostrophe in front. */
function csvValue(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function csvLine(values: readonly (string | number)[]): string {
  return `${values.map(csvValue).join(',')}\n`
}

/** `image[,label],class1,probability1,class2,…` with the likeliest class first. */
function predictionsHeader(top: number, hasLabels: boolean): string {
  const ranked = Array.from({ length: top }, (_, at) => [`class${at + 1}`, `probability${at + 1}`]).flat()
  return csvLine(['image', ...(hasLabels ? ['label'] : []), ...ranked])
}

type Ranked = { readonly class: string; readonly probability: number }

/** The likeliest `top` classes of one row of logits. */
function rankClasses(logits: Float32Array, classNames: readonly string[], top: number): Ranked[] {
  const probabilities = probabilitiesOf(logits)
  return topClasses(logits, top).map((index) => ({
    class: classNames[index] as string,
    probability: Number((probabilities[index] as number).toFixed(DIGITS)),
  }))
}

/** @param label what the image is; undefined where nobody knows */
function predictionLine(name: string, label: string | undefined, ranked: readonly Ranked[]): string {
  return csvLine([name, ...(label === undefined ? [] : [label]), ...ranked.flatMap((one) => [one.class, one.probability])])
}

/** A row per label, a column per class that was predicted. */
function confusionCsv(matrix: readonly Uint32Array[], classNames: readonly string[]): string {
  return [csvLine(['label', ...classNames]), ...matrix.map((row, label) => csvLine([classNames[label] as string, ...row]))].join('')
}

export { confusionCsv, predictionLine, predictionsHeader, type Ranked, rankClasses }
