// What an agent has done, counted from its events.

import { trainsWeights } from '../../protocol/index.ts'
import type { AgentEnd, AgentEvent } from './agent.ts'

type AgentSummary = {
  readonly agentId: string
  readonly end: 'finished' | 'stopped' | 'interrupted'
  readonly tasks: number
  readonly duplicates: number
  readonly stale: number
  readonly refused: number
  /** Training images, repeats included. */
  readonly images: number
  readonly trainMs: number
  readonly idleMs: number
}

type Tally = { count(event: AgentEvent): void; summary(agentId: string, end: AgentEnd): AgentSummary }

function createTally(): Tally {
  const counts = { tasks: 0, duplicates: 0, stale: 0, refused: 0, images: 0, trainMs: 0, idleMs: 0 }
  return {
    count(event) {
      if (event.kind === 'refused') counts.refused += 1
      if (event.kind !== 'task') return
      counts.tasks += 1
      counts.duplicates += event.outcome === 'duplicate' ? 1 : 0
      counts.stale += event.outcome === 'stale' ? 1 : 0
      counts.trainMs += event.trainMs
      counts.idleMs += event.idleMs
      counts.images += trainsWeights(event.result) ? event.result.images : 0
    },
    summary: (agentId, end) => ({ agentId, end: end.kind === 'finished' ? end.phase : 'interrupted', ...counts }),
  }
}

export { type AgentSummary, createTally }
