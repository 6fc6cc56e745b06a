// Weight steps on paths: each mini-batch trains one, or several whose gradients are added up with their importance.

import { pathsPerStep, type WeightPaths } from '../../../protocol/index.ts'
import type { LayerGraph } from '../../../search-space/index.ts'
import { consistentPathsStep, trainStep, weightedPathsStep } from '../../executor/index.ts'
import { batchNormKeys } from '../batch-norms.ts'
import { onlyOne, sumUp, type StepInput, type StepOutcome, type TaskRunner } from './runner.ts'
import { learn, weightSteps } from './weight-steps.ts'

/** 1 / Σ omega²: how many paths the importances amount to, from 1 to all of them. */
function effectiveSamples(importances: readonly number[]): number {
  return Math.max(1, 1 / importances.reduce((sum, importance) => sum + importance ** 2, 0))
}

function meanSamples(outcomes: readonly StepOutcome[]): number {
  return outcomes.reduce((sum, { effectiveSamples: samples = 1 }) => sum + samples / outcomes.length, 0)
}

/** The gradients of what the work trains; the others are disposed. */
function wantedOf<T extends { dispose(): void }>(
  { trained }: WeightPaths,
  graphs: readonly LayerGraph[],
  gradients: ReadonlyMap<string, T>,
) {
  if (!trained) return gradients
  const wanted = new Set(graphs.flatMap((graph) => [...batchNormKeys(graph)]))
  for (const [key, gradient] of gradients) if (!wanted.has(key)) gradient.dispose()
  return new Map([...gradients].filter(([key]) => wanted.has(key)))
}

const trainWeights: TaskRunner<'trainWeights'> = {
  ...weightSteps,
  networks(work, index) {
    const { paths } = work
    const count = pathsPerStep(work)
    return paths.slice(index * count, (index + 1) * count).map((choices) => ({ choices }))
  },
  async run(work, step, input: StepInput) {
    const { graphs, measured, training } = input
    const { labelSmoothing } = training
    const { graph, ...batch } = onlyOne(input)
    if (!work.samples) {
      const { loss, correct, gradients } = await measured((parts) => {
        const settings = { ...batch, labelSmoothing, accumulate: parts }
        if (!work.consistency) return trainStep({ ...settings, graph })
        return consistentPathsStep({ ...settings, ...work.consistency, graphs: [graph, graphs[1] as LayerGraph] })
      })
      learn(work, step, wantedOf(work, graphs, gradients), input)
      return { loss, correct }
    }
    const { temper } = work.samples
    const { loss, correct, gradients, importances } = await measured((parts) =>
      weightedPathsStep({ ...batch, graphs, temper, labelSmoothing, accumulate: parts }),
    )
    learn(work, step, wantedOf(work, graphs, gradients), input)
    return { loss, correct, effectiveSamples: effectiveSamples(importances) }
  },
  result: ({ samples }, outcomes, { batchSize }) => ({
    kind: 'trainWeights',
    ...sumUp(outcomes, batchSize),
    ...(samples && { effectiveSamples: meanSamples(outcomes) }),
  }),
}

export { trainWeights }
