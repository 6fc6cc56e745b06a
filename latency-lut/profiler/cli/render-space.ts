// What a table says of one search space, block by block.

import { largestPath, type Path, type Space } from '../../../search-space/index.ts'
import { expectedLatencyMs, pathLatencyMs, type SpaceLatency } from '../../table/coverage.ts'
import { bar, printMs } from './render.ts'

/** The operation of every block that `isBetter` than all before it. */
function choose(latency: SpaceLatency, isBetter: (ms: number, best: number) => boolean): Path {
  return latency.operationMs.map((operations) =>
    operations.reduce((best, ms, index) => (isBetter(ms, operations[best] as number) ? index : best), 0),
  )
}

/** Totals of some architectures, then a chart per block, bars to the scale of the slowest operation of all. */
function renderSpace(space: Space, latency: SpaceLatency): string {
  const uniform = latency.operationMs.map((operations) => operations.map(() => 1 / operations.length))
  const totals: readonly (readonly [string, number])[] = [
    [
      'fastest',
      pathLatencyMs(
        latency,
        choose(latency, (ms, best) => ms < best),
      ),
    ],
    ['uniform', expectedLatencyMs(latency, uniform)],
    ['largest', pathLatencyMs(latency, largestPath(space))],
    [
      'slowest',
      pathLatencyMs(
        latency,
        choose(latency, (ms, best) => ms > best),
      ),
    ],
  ]
  const options = space.decisions.flatMap((decision) => decision.options)
  const nameWidth = Math.max(...options.map(({ name }) => name.length))
  const everyMs = latency.operationMs.flat()
  const slowestMs = Math.max(...everyMs)
  const valueWidth = Math.max(...everyMs.map((ms) => printMs(ms).length))
  return [
    `${space.name}: ${printMs(latency.fixedMs)} ms in every architecture, before its blocks`,
    ...totals.map(([name, ms]) => `  ${name}  ${printMs(ms)} ms`),
    ...space.decisions.flatMap((decision, index) => {
      const own = latency.operationMs[index] as readonly number[]
      return [
        '',
        `${decision.name}  ${decision.where}`,
        ...decision.options.map(({ name }, j) => {
          const ms = own[j] as number
          return `  ${name.padEnd(nameWidth)}  ${printMs(ms).padStart(valueWidth)}  ${ms > 0 ? bar(ms / slowestMs) : ''}`.trimEnd()
        }),
      ]
    }),
  ].join('\n')
}

export { renderSpace }
