// Whole networks next to what a table says of them: a correction is fitted to one half of them and judged on the other.

import { type Path, printArchitecture, type Space } from '../../../search-space/index.ts'
import { type Agreement, agreementOf, correct, fitCorrection, type Pair, relativeError } from '../../table/agreement.ts'
import { pathLatencyMs, type SpaceLatency } from '../../table/coverage.ts'
import { median } from '../../table/robust.ts'
import type { Correction, TableQuality } from '../../table/table.ts'
import { DEFAULT_BUDGET_MS, NETWORKS_AT_ONCE, WORST_SHOWN } from './limits.ts'
import type { MeasureProgress, MeasureSettings } from './measure.ts'
import { measureNetworks } from './profile.ts'

type ValidatedNetwork = Pair & {
  readonly architecture: string
  /** Standard deviation of the measured runs, milliseconds. */
  readonly stdMs: number
  readonly count: number
  /** Null where no correction could be fitted. */
  readonly correctedMs: number | null
  /** The half that the correction was fitted to, or the one that it is judged on. */
  readonly half: 'fitted' | 'held out'
}

type Validation = {
  readonly networks: readonly ValidatedNetwork[]
  /** Of the networks held out: by the sum alone, and corrected. */
  readonly before: Agreement
  readonly after: Agreement | null
  readonly correction: Correction | null
  /** Of the networks held out, those furthest off, corrected where that is possible. */
  readonly worst: readonly (ValidatedNetwork & { readonly errorPct: number })[]
  readonly quality: readonly TableQuality[]
}

type ValidateOptions = MeasureSettings & {
  readonly space: Space
  /** By the table without a correction. */
  readonly latency: SpaceLatency
  readonly paths: readonly Path[]
}

/** Groups that fit into memory, of nearly equal size. Neighbours stay together, so both halves are in each alike. */
function groupsOf<T>(items: readonly T[], most: number): T[][] {
  const count = Math.ceil(items.length / most)
  return Array.from({ length: count }, (_, group) => items.filter((__, index) => Math.floor((index * count) / items.length) === group))
}

/** Throws SpaceError `choices` for a path of another space. */
async function validate({ space, latency, paths, ...settings }: ValidateOptions): Promise<Validation> {
  const { budgetMs = DEFAULT_BUDGET_MS, onProgress } = settings
  const groups = groupsOf(
    paths.map((path, index) => ({ path, index })),
    NETWORKS_AT_ONCE,
  )
  const networks: ValidatedNetwork[] = []
  const quality: TableQuality[] = []
  for (const [done, group] of groups.entries()) {
    const report = (progress: MeasureProgress) => onProgress?.({ ...progress, share: (done + progress.share) / groups.length })
    const measured = await measureNetworks({
      ...settings,
      budgetMs: budgetMs / groups.length,
      onProgress: report,
      space,
      paths: group.map(({ path }) => path),
    })
    quality.push(measured.quality)
    for (const [position, { path, index }] of group.entries()) {
      const { meanMs = Number.NaN, stdMs = 0, count = 0 } = measured.entries[position] ?? {}
      networks[index] = {
        architecture: printArchitecture(space, path),
        predictedMs: pathLatencyMs(latency, path),
        measuredMs: meanMs,
        stdMs,
        count,
        correctedMs: null,
        half: index % 2 === 0 ? 'fitted' : 'held out',
      }
    }
  }
  return { ...judge(networks), quality }
}

/** Fits a correction to the networks of one half and says how well it does on the other. */
function judge(networks: readonly ValidatedNetwork[]): Omit<Validation, 'quality'> {
  const correction = fitCorrection(networks.filter(({ half }) => half === 'fitted'))
  const judged = networks.map((network) => ({
    ...network,
    correctedMs: correction === null ? null : correct(network.predictedMs, correction),
  }))
  const heldOut = judged.filter(({ half }) => half === 'held out')
  const corrected = heldOut.map((network) => ({ ...network, predictedMs: network.correctedMs ?? network.predictedMs }))
  const byError = corrected
    .map((pair, index) => ({ ...(heldOut[index] as ValidatedNetwork), errorPct: 100 * relativeError(pair) }))
    .toSorted((a, b) => Math.abs(b.errorPct) - Math.abs(a.errorPct))
  return {
    networks: judged,
    correction,
    before: agreementOf(heldOut),
    after: correction === null ? null : agreementOf(corrected),
    worst: byError.slice(0, WORST_SHOWN),
  }
}

/** Half of the measured median's usual spread, for error bars: standard deviations are those of single runs. */
function errorOfMedian({ stdMs, count }: ValidatedNetwork): number {
  return stdMs / Math.sqrt(count)
}

/** Of several groups of networks, each measured on its own: the group in the middle. */
function typicalHalfWidthPct(quality: readonly TableQuality[]): number {
  return median(quality.map(({ halfWidthPct }) => halfWidthPct ?? Number.NaN))
}

export { errorOfMedian, judge, typicalHalfWidthPct, validate, type ValidatedNetwork, type Validation }
