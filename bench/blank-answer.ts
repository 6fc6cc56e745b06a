import { hasGradients, type TaskResult, type TaskWork, weightStepsOf } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'

/** An answer of the right form to steps on a supernet, without any training. */
function blankAnswer(work: TaskWork, { decisions }: Pick<Space, 'decisions'>, batchSize: number): TaskResult {
  const step = { crossEntropy: 2, correct: Math.ceil(batchSize / 8), images: batchSize }
  switch (work.kind) {
    case 'trainWeights':
    case 'trainMixtures': {
      const samples = work.kind === 'trainWeights' && work.samples ? { effectiveSamples: 1 } : {}
      return { kind: work.kind, loss: 2, correct: 8, images: weightStepsOf(work) * batchSize, ...samples }
    }
    case 'gateGradients':
      return {
        kind: 'gateGradients',
        steps: work.steps.map((choices) => ({
          ...step,
          gateGradients: choices.map((choice, block) =>
            hasGradients({ decisions }, block, choice) ? [0.01, ...choice.inactive.map(() => -0.01)] : null,
          ),
        })),
      }
    case 'mixtureGradients':
      return {
        kind: 'mixtureGradients',
        steps: Array.from({ length: work.steps }, () => ({ ...step, gradients: work.mixture.map((row) => row.map((_, o) => 0.01 * o)) })),
      }
    case 'evaluatePaths':
      return { kind: 'evaluatePaths', paths: work.paths.map(() => step) }
    case 'batchNormScales':
      return { kind: 'batchNormScales', scales: work.paths.map(() => 1) }
    case 'score':
    case 'trainArchitecture':
      throw new Error(`expected steps on a supernet, got ${work.kind}`)
    default:
      return work satisfies never
  }
}

export { blankAnswer }
