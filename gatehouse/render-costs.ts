// Costs of architectures as lines of text: how a search keeps its bounds, and the fronts of what it has evaluated.

import type { BoundStatus, Front, KnownCost, SearchStatus } from '../protocol/index.ts'
import { printBytes, printDecimal, printLarge, printLatency, printShare } from '../command-line/quantities.ts'
import { printable } from '../command-line/text-layout.ts'

type Entry = readonly [label: string, text: string]

const knownCosts: Readonly<Record<KnownCost, { readonly title: string; print(value: number): string }>> = {
  latencyMs: { title: 'latency', print: printLatency },
  macs: { title: 'MACs', print: printLarge },
  parameters: { title: 'parameters', print: printLarge },
  weightBytes: { title: 'weights', print: printBytes },
}

/** Costs that this version does not know are shown as they are. */
function costWords(cost: string) {
  return Object.hasOwn(knownCosts, cost) ? knownCosts[cost as KnownCost] : { title: printable(cost), print: printDecimal }
}

function boundText({ cost, atMost, value, expected, isMet }: BoundStatus): string {
  const { title, print } = costWords(cost)
  const share = value / atMost - 1
  const apart = `${share < 0 ? '−' : '+'}${printShare(Math.abs(share))}`
  const mean = expected === undefined ? '' : `; ${print(expected)} expected`
  return `${title} ${print(value)} now, at most ${print(atMost)} (${apart}, ${isMet ? 'kept' : 'not kept'})${mean}`
}

/** Bounds beside the target latency, which has an entry of its own. */
function boundEntries({ bounds = [] }: Pick<SearchStatus, 'bounds'>): Entry[] {
  return bounds.slice(1).map((bound) => ['bound', boundText(bound)])
}

function frontText({ cost, points }: Front): string {
  const { title, print } = costWords(cost)
  return `accuracy by ${title}: ${points.map(({ value, score }) => `${printShare(score)} at ${print(value)}`).join(', ')}`
}

/** One for each cost; the whole of it, with the architectures, is in the JSON. */
function frontEntries({ fronts = [] }: Pick<SearchStatus, 'fronts'>): Entry[] {
  return fronts.map((front) => ['front', frontText(front)])
}

export { boundEntries, frontEntries }
