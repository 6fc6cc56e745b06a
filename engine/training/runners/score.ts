// Scores without training: each network with weights of its own, all on the same mini-batch. A turn is one network.

import { scoreNetwork } from '../../scores/index.ts'
import type { TaskRunner } from './runner.ts'
import { planFrozen } from './waves.ts'

const score: TaskRunner<'score'> = {
  networkCount: ({ paths }) => paths.length,
  // None of the supernet.
  networks: () => [],
  batchesPerNetwork: () => 1,
  requests: ({ batch }, _, batches) => [batches.architecture(batch)],
  plan: ({ paths }, threads) => planFrozen(paths.length, 1, threads),
  async run({ scores, paths }, step, { batches: [batch], fresh }) {
    if (!batch) throw new Error('expected a mini-batch')
    const { values, seconds } = await scoreNetwork(scores, { ...fresh, ...batch, path: paths[step] ?? [] })
    return { loss: 0, correct: 0, scores: { values: [...values], seconds: [...seconds] } }
  },
  result: (_, outcomes) => ({
    kind: 'score',
    paths: outcomes.map(({ scores = { values: [], seconds: [] } }) => scores),
  }),
}

export { score }
