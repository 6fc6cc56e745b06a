// The two plots of a comparison.

import { scatterSvg, type Series } from '../../plots/scatter.ts'
import type { CandidateGroup } from './candidates.ts'
import type { Compared, Split } from './summary.ts'

const MILLION = 1e6
const PERCENT = 100

/** One series per group, in the order in which they first appear. */
function seriesOf(results: readonly Compared[], place: (result: Compared) => { x: number; y: number; yError?: number }): Series[] {
  const groups = new Map<CandidateGroup, Compared[]>()
  for (const result of results) groups.set(result.group, [...(groups.get(result.group) ?? []), result])
  return [...groups].map(([name, members]) => ({
    name,
    points: members.map((result) => ({ ...place(result), title: `${result.name}: ${result.architecture}` })),
  }))
}

/** Accuracy with its spread over the seeds against latency; the line joins the networks on the front. */
function accuracyPlot(results: readonly Compared[], split: Split): string {
  const front = results.filter(({ isOnFront }) => isOnFront).toSorted((a, b) => a.latencyMs - b.latencyMs)
  const point = ({ latencyMs, accuracy }: Compared) => ({ x: latencyMs, y: accuracy.mean * PERCENT })
  return scatterSvg({
    title: 'Accuracy against latency',
    x: { label: 'measured latency, ms' },
    y: { label: `${split} accuracy, %` },
    series: seriesOf(results, (result) => ({ ...point(result), ...(result.accuracy.std && { yError: result.accuracy.std * PERCENT }) })),
    lines: [{ name: 'Pareto front', points: front.map(point), isDashed: true }],
  })
}

/** Where multiply-accumulates, which most searches minimise instead, say something else than the clock. */
function macsPlot(results: readonly Compared[]): string {
  return scatterSvg({
    title: 'Multiply-accumulates against latency',
    x: { label: 'multiply-accumulates per image, millions' },
    y: { label: 'measured latency, ms' },
    series: seriesOf(results, ({ macs, latencyMs }) => ({ x: macs / MILLION, y: latencyMs })),
  })
}

export { accuracyPlot, macsPlot }
