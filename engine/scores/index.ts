// The table of scores, and a network's scores by name (docs/scores.md).

import type { ScoreName } from '../../protocol/index.ts'
import { fisher } from './fisher.ts'
import { gradNorm } from './grad-norm.ts'
import { grasp } from './grasp.ts'
import { jacobCov } from './jacob-cov.ts'
import { l2Norm } from './l2-norm.ts'
import { logsynflow } from './logsynflow.ts'
import { macs } from './macs.ts'
import { naswot } from './naswot.ts'
import { type Candidate, withNetwork } from './network.ts'
import { params } from './params.ts'
import { plain } from './plain.ts'
import type { Score } from './score.ts'
import { snip } from './snip.ts'
import { swap } from './swap.ts'
import { synflow } from './synflow.ts'

const scores = {
  params,
  macs,
  l2_norm: l2Norm,
  grad_norm: gradNorm,
  plain,
  snip,
  grasp,
  fisher,
  synflow,
  logsynflow,
  jacob_cov: jacobCov,
  naswot,
  swap,
} satisfies Record<ScoreName, Score>

/** `values[i]` and `seconds[i]` are of the i-th score that was asked for. */
type NetworkScores = { readonly values: readonly (number | null)[]; readonly seconds: readonly number[] }

/** Scores of one network, each with the seconds that it takes alone. */
async function scoreNetwork(names: readonly ScoreName[], candidate: Candidate): Promise<NetworkScores> {
  return withNetwork(candidate, async ({ timed }) => {
    const values: (number | null)[] = []
    const seconds: number[] = []
    for (const name of names) {
      const done = await timed(scores[name])
      values.push(done.value === null || Number.isNaN(done.value) ? null : withinRange(done.value))
      seconds.push(done.seconds)
    }
    return { values, seconds }
  })
}

/** Of what is beyond the largest number nothing is known but that. */
function withinRange(value: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value))
}

export { type Candidate, type NetworkScores, scoreNetwork }
