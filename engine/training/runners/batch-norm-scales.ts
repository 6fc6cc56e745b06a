// The scales of the batch-norms of paths, BN-NAS's indicator (Chen et al. 2021): a turn is one path, and no step looks at an image.

import { lastScales } from '../batch-norms.ts'
import type { TaskRunner } from './runner.ts'
import { planFrozen } from './waves.ts'

const batchNormScales: TaskRunner<'batchNormScales'> = {
  networkCount: ({ paths }) => paths.length,
  networks: ({ paths }, index) => [{ choices: paths[index] as number[] }],
  batchesPerNetwork: () => 1,
  requests: () => [],
  plan: ({ paths }, threads) => planFrozen(paths.length, 1, threads),
  async run(_, __, { graphs: [graph], weights }) {
    if (!graph) throw new Error('expected a network')
    return { loss: 0, correct: 0, scales: await lastScales(graph, weights) }
  },
  result: (_, outcomes) => ({ kind: 'batchNormScales', scales: outcomes.map(({ scales = 0 }) => scales) }),
}

export { batchNormScales }
