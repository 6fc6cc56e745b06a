// What a search has found, as lines of text: one way for each kind of view that a strategy may have, and one for those of a newer
// version.

import {
  type Candidate,
  type DistributionView,
  knownView,
  type RankingView,
  type SearchStatus,
  type SearchView,
} from '../protocol/index.ts'
import { printCount, printDecimal, printLarge, printLatency, printShare } from '../command-line/quantities.ts'
import { printable, renderTable } from '../command-line/text-layout.ts'

/** Candidates in a table on a screen. */
const MAX_CANDIDATES = 10
const VERSION_DIGITS = 8

type RenderedView = {
  /** Label and text. */
  readonly entries: readonly (readonly [string, string])[]
  /** A table of its own, or none. */
  readonly table: string | null
  /** For one line in a log. */
  readonly figures: readonly string[]
}

function difference(value: number, target: number): string {
  const share = value / target - 1
  return `${share < 0 ? '−' : '+'}${printShare(Math.abs(share))}`
}

function tableText({ latencyTable }: SearchStatus): string {
  const { predicted } = latencyTable
  const mark = predicted
    ? `; ${printCount(predicted.count)} ${predicted.count === 1 ? 'operation' : 'operations'} predicted (RMSE ${printLatency(predicted.rmseMs)}, ${printShare(predicted.mapePct / 100)} off on average)`
    : ''
  const name = `${latencyTable.name}@${latencyTable.version.slice(0, VERSION_DIGITS)}`
  return `table ${name} (${printable(latencyTable.device)}, ${printable(latencyTable.runtime)})${mark}`
}

function renderDistribution(status: SearchStatus, view: DistributionView): RenderedView {
  const { entropy, alphaVersion, expectedLatencyMs, effectiveSamples, effectiveWeightSamples } = view
  const { targetLatencyMs } = status
  const target = `target ${printLatency(targetLatencyMs)}`
  return {
    entries: [
      [
        'entropy',
        `${printDecimal(entropy.mean)} nats per block, ${printDecimal(entropy.start)} at the start; alpha version ${printCount(alphaVersion)}`,
      ],
      ...(effectiveSamples === undefined
        ? []
        : [['samples', `${printDecimal(effectiveSamples)} in effect, by the weights of the last step`] as const]),
      ...(effectiveWeightSamples === undefined
        ? []
        : [['paths', `${printDecimal(effectiveWeightSamples)} of each mini-batch in effect, over the last weight task`] as const]),
      [
        'latency',
        `${printLatency(expectedLatencyMs)} expected, ${target} (${difference(expectedLatencyMs, targetLatencyMs)}); ${tableText(status)}`,
      ],
    ],
    table: null,
    figures: [`entropy ${printDecimal(entropy.mean)}`, `expected ${printLatency(expectedLatencyMs)} (${target})`],
  }
}

function renderCandidates(candidates: readonly Candidate[], score: string): string {
  const table = renderTable(
    [
      { title: printable(score), align: 'right' },
      { title: 'latency', align: 'right' },
      { title: 'MACs', align: 'right' },
      { title: 'parameters', align: 'right' },
      { title: 'architecture' },
    ],
    candidates
      .slice(0, MAX_CANDIDATES)
      .map((candidate) => [
        `${candidate.score === null ? '–' : printDecimal(candidate.score)}${candidate.epochs === undefined ? '' : ` after ${printCount(candidate.epochs)} epochs`}`,
        `${printLatency(candidate.latencyMs)}${candidate.meetsConstraint ? '' : ' !'}`,
        printLarge(candidate.macs),
        printLarge(candidate.parameters),
        printable(candidate.encoding),
      ]),
  )
  const more = candidates.length - MAX_CANDIDATES
  return more > 0 ? `${table}\nand ${printCount(more)} more` : table
}

function latencyEntry(status: SearchStatus): readonly [string, string] {
  const { bound, value, isMet } = status.constraint
  const verdict = isMet ? 'met' : 'not met'
  return [
    'latency',
    `${printLatency(value)} now, target ${printLatency(bound)} (${difference(value, bound)}, ${verdict}); ${tableText(status)}`,
  ]
}

/** Of candidates, the first figure is the score of the best. */
function candidateFigures({ best, constraint }: SearchStatus, score: string): string[] {
  const first = best[0]?.score ?? null
  return [
    ...(first === null ? [] : [`best ${printable(score)} ${printDecimal(first)}`]),
    `latency ${printLatency(constraint.value)} (target ${printLatency(constraint.bound)})`,
  ]
}

/** What some strategies know beside the ranking. */
function rankingEntries({ policy, predictions, rungs }: RankingView): (readonly [string, string])[] {
  const entries: (readonly [string, string])[] = []
  if (rungs) {
    const each = rungs.map(({ epochs, scored, promoted, failed, bestScore }, index) => {
      const best = bestScore === null ? '' : `, best ${printDecimal(bestScore)}`
      const on = index < rungs.length - 1 ? `, ${printCount(promoted)} on` : ''
      return `${printDecimal(epochs)} epochs: ${printCount(scored)}${on}${failed > 0 ? `, ${printCount(failed)} failed` : ''}${best}`
    })
    entries.push(['rungs', each.join('; ')])
  }
  if (policy) {
    entries.push(['policy', `entropy ${printDecimal(policy.entropy)} nats per decision, ${printDecimal(policy.startEntropy)} at the start`])
  }
  if (predictions) {
    const { fits, examples, agreement } = predictions
    const told = agreement === null ? '' : `; ${printShare(agreement)} of pairs foretold in their order`
    entries.push([
      'predictor',
      fits === 0 ? 'not fitted yet' : `${printCount(fits)} fits, the last on ${printCount(examples)} results${told}`,
    ])
  }
  return entries
}

function renderKnown(status: SearchStatus, view: SearchView): RenderedView {
  switch (view.kind) {
    case 'distribution':
      return renderDistribution(status, view)
    case 'population':
      return {
        entries: [
          ['alive', `${printCount(view.candidates.length)} candidates, generation ${printCount(view.generation)}`],
          latencyEntry(status),
        ],
        table: renderCandidates(view.candidates, view.score),
        figures: [`generation ${printCount(view.generation)}`, ...candidateFigures(status, view.score)],
      }
    case 'ranking':
      return {
        entries: [
          ['ranking', `${printCount(view.scored)} scored by ${printable(view.score)}`],
          ...rankingEntries(view),
          latencyEntry(status),
        ],
        table: renderCandidates(view.candidates, view.score),
        figures: [`${printCount(view.scored)} scored`, ...candidateFigures(status, view.score)],
      }
    default:
      return view satisfies never
  }
}

function renderView(status: SearchStatus): RenderedView {
  const view = knownView(status.view)
  if (view) return renderKnown(status, view)
  const kind = printable(status.view.kind)
  return {
    entries: [
      ['view', `"${kind}" is not known to this version of gatehouse; start the version of the coordinator to see it`],
      latencyEntry(status),
    ],
    table: null,
    figures: [`view ${kind}`],
  }
}

export { renderView }
