// Candidates as people see them: what is known of an architecture by itself, and what the strategy knows of it.

import { pathLatencyMs } from '../latency-lut/table/coverage.ts'
import type { Candidate } from '../protocol/index.ts'
import { architectureCosts, printArchitecture } from '../search-space/index.ts'
import type { StrategyContext } from './strategy.ts'

/** Candidates that a status shows. */
const SHOWN = 10

/** @param known `score`: more is better; `parent`: encoding of the candidate that it was made from */
function candidateOf(
  { space, latency, config }: StrategyContext,
  path: readonly number[],
  known: Pick<Candidate, 'score' | 'parent'>,
): Candidate {
  const latencyMs = pathLatencyMs(latency, path)
  return {
    encoding: printArchitecture(space, path),
    path: [...path],
    latencyMs,
    ...architectureCosts(space, path),
    ...known,
    meetsConstraint: latencyMs <= config.latency.targetMs,
  }
}

export { candidateOf, SHOWN }
