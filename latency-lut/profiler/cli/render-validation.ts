// The result of `latency-lut validate` as text.

import { type Column, renderTable } from '../../../command-line/text-layout.ts'
import type { Agreement } from '../../table/agreement.ts'
import { printCorrection, printMs, printPct } from './render.ts'
import { typicalHalfWidthPct, type Validation } from '../node/validate.ts'

const rows: readonly (readonly [label: string, print: (agreement: Agreement) => string])[] = [
  ['RMSE', ({ rmseMs }) => `${printMs(rmseMs)} ms`],
  ['MAPE', ({ mapePct }) => printPct(mapePct)],
  ['Pearson', ({ pearson }) => pearson.toFixed(4)],
  ['Kendall', ({ kendall }) => kendall.toFixed(4)],
  ['within ±5 %', ({ within5Pct }) => printPct(within5Pct)],
  ['within ±10 %', ({ within10Pct }) => printPct(within10Pct)],
]

const right = (title: string): Column => ({ title, align: 'right' })

function renderValidation(table: string, { networks, before, after, correction, worst, quality }: Validation): string {
  const halfWidth = typicalHalfWidthPct(quality)
  const known = Number.isFinite(halfWidth) ? `, each known to ±${printPct(halfWidth)}` : ''
  return [
    `${networks.length} networks measured${known}`,
    correction === null
      ? 'no correction: what the table calls slower is not slower'
      : `correction fitted to ${correction.networks} of them: ${printCorrection(correction)} of ${table}`,
    '',
    `The other ${before.networks}`,
    renderTable(
      [{ title: '' }, right('sum'), ...(after === null ? [] : [right('corrected')])],
      rows.map(([label, print]) => [label, print(before), ...(after === null ? [] : [print(after)])]),
      '  ',
    ),
    '',
    `Furthest off${after === null ? '' : ', corrected'}`,
    renderTable(
      [right('predicted ms'), right('measured ms'), right('error'), { title: 'architecture' }],
      worst.map(({ predictedMs, correctedMs, measuredMs, errorPct, architecture }) => [
        printMs(correctedMs ?? predictedMs),
        printMs(measuredMs),
        `${errorPct < 0 ? '-' : '+'}${printPct(Math.abs(errorPct))}`,
        architecture,
      ]),
      '  ',
    ),
  ].join('\n')
}

export { renderValidation }
