// A comparison as a table.

import { printLarge } from '../../command-line/quantities.ts'
import { renderTable } from '../../command-line/text-layout.ts'
import { kendallTau } from '../../latency-lut/table/agreement.ts'
import { type Compared, speedUpAtEqualAccuracy, type Split } from './summary.ts'

const percent = (share: number) => (share * 100).toFixed(2)

function spread({ accuracy: { mean, std } }: Compared): string {
  return std === null ? percent(mean) : `${percent(mean)} ± ${percent(std)}`
}

/** Against the baseline at equal accuracy; where it does not get there, against its most accurate network, if that is slower. */
function printSpeed(result: Compared, baseline: readonly Compared[]): string {
  const speedUp = speedUpAtEqualAccuracy(result, baseline)
  if (speedUp !== null) return `${speedUp.toFixed(2)} ×`
  const best = baseline.toSorted((a, b) => b.accuracy.mean - a.accuracy.mean)[0]
  const isBeaten = best && best.accuracy.mean < result.accuracy.mean && best.latencyMs > result.latencyMs
  return isBeaten ? `> ${(best.latencyMs / result.latencyMs).toFixed(2)} ×` : ''
}

/** Candidates by latency, those on the front marked, and how many times faster each is than MobileNetV2 of its accuracy. */
function renderComparison(results: readonly Compared[], split: Split): string {
  const baseline = results.filter(({ group }) => group === 'MobileNetV2')
  const rows = results
    .toSorted((a, b) => a.latencyMs - b.latencyMs)
    .map((result) => {
      return [
        result.isOnFront ? '*' : '',
        result.name,
        spread(result),
        result.latencyMs.toFixed(3),
        printLarge(result.macs),
        printLarge(result.parameters),
        result.group === 'MobileNetV2' || baseline.length < 2 ? '' : printSpeed(result, baseline),
        result.group === 'MobileNetV2' ? '' : result.architecture,
      ]
    })
  const table = renderTable(
    [
      { title: '' },
      { title: 'network' },
      { title: `${split} %`, align: 'right' },
      { title: 'latency ms', align: 'right' },
      { title: 'MACs', align: 'right' },
      { title: 'parameters', align: 'right' },
      { title: baseline.length < 2 ? '' : 'speed', align: 'right' },
      { title: 'architecture' },
    ],
    rows,
  )
  const agreement = kendallTau(
    results.map(({ macs }) => macs),
    results.map(({ latencyMs }) => latencyMs),
  )
  return [
    table,
    '',
    '* on the front: no other network is as fast and more accurate',
    ...(baseline.length < 2
      ? []
      : [
          'speed: how many times as fast as MobileNetV2 of the same accuracy, between its measured widths;\n       >: more accurate than all of them, and so many times as fast as the most accurate',
        ]),
    ...(Number.isNaN(agreement) ? [] : [`Kendall's tau of multiply-accumulates and latency: ${agreement.toFixed(3)}`]),
  ].join('\n')
}

export { renderComparison }
