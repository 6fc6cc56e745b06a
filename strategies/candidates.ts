// Candidates as people see them: what is known of an architecture by itself, and what the strategy knows of it.

import { pathLatencyMs } from '../latency-lut/table/coverage.ts'
import type { Candidate } from '../protocol/index.ts'
import { printArchitecture } from '../search-space/index.ts'
import { allBounds, keeps } from './bounds.ts'
import { costOf } from './costs.ts'
import type { StrategyContext } from './strategy.ts'

/** Candidates that a status shows. */
const SHOWN = 10

/** @param known `score`: more is better; `parent`: encoding of the candidate that it was made from */
function candidateOf(context: StrategyContext, path: readonly number[], known: Pick<Candidate, 'score' | 'parent'>): Candidate {
  const { space, latency } = context
  return {
    encoding: printArchitecture(space, path),
    path: [...path],
    latencyMs: pathLatencyMs(latency, path),
    macs: costOf(context, 'macs').of(path),
    parameters: costOf(context, 'parameters').of(path),
    ...known,
    meetsConstraint: keeps(allBounds(context), path),
  }
}

export { candidateOf, SHOWN }
