// The steps that every backend must give the same numbers for. Also run in a process of its own, where a backend needs
// an environment that has to be there from the start.

import { type BackendName, openBackend } from '../../engine/backends/backends.ts'
import { createSgd, createWeights, evaluate, gateStep, trainStep, unrolledStep, weightedPathsStep } from '../../engine/executor/index.ts'
import { combineBranches } from '../../search-space/index.ts'
import { type Builder, createBuilder, randomBatch } from './executor-graph-builder.ts'

const IMAGE = [12, 12, 3] as const

function mixedNetwork(branchCount: number) {
  const kernels = [3, 5, 7]
  const branches = kernels.slice(0, branchCount)
  return createBuilder(IMAGE)
    .conv('stem', 8, 3, 2)
    .norm('stem-bn')
    .relu6('stem-relu')
    .mixed('m0', 0, 1, [
      ...branches.map((kernel) => (branch: Builder) => branch.mbconv(`m0/${kernel}`, 12, 3, kernel, 2)),
      (branch) => branch.conv('m0/projection', 12, 1, 2).norm('m0/projection-bn'),
    ])
    .mixed('m1', 1, 0, [...branches.map((kernel) => (branch: Builder) => branch.mbconv(`m1/${kernel}`, 12, 2, kernel)), (branch) => branch])
    .conv('last', 16)
    .norm('last-bn')
    .relu6('last-relu')
    .globalPool('pool')
    .linear('head', 5)
    .build()
}

type Outcome = {
  readonly numbers: readonly number[]
  /** Trained weights by key. */
  readonly weights: Record<string, readonly number[]>
}

/** Two weight steps, one of two weighed paths, a gate step over two branches, one over all, gradients of a mixture, and an evaluation. */
async function runSteps(name: BackendName): Promise<Outcome> {
  const { chosen } = await openBackend(name, { allowSoftwareAdapter: true })
  const two = mixedNetwork(2)
  const full = mixedNetwork(3)
  const weights = createWeights(chosen, full.specs, 11)
  const sgd = createSgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-3 })
  const { images, labels } = randomBatch(4, IMAGE, 5)
  const batch = images()
  const numbers: number[] = []
  for (let step = 0; step < 2; step++) {
    const result = await trainStep({ graph: two.graph, weights, images: batch, labels, labelSmoothing: 0.1 })
    sgd.apply(weights, result.gradients, 0.02)
    numbers.push(result.loss, result.correct)
  }
  const weighed = await weightedPathsStep({ graphs: [two.graph, full.graph], weights, images: batch, labels, temper: 2 })
  sgd.apply(weights, weighed.gradients, 0.02)
  numbers.push(weighed.loss, ...weighed.importances)
  const mixture = combineBranches(full.graph, ({ branches }) => ({ kind: 'weighted', weights: branches.map((_, j) => (j + 1) / 10) }))
  const mixed = { graph: mixture, weights, images: batch, labels }
  const ahead = { training: mixed, optimiser: sgd, momentum: 0.9, weightDecay: 1e-3, learningRate: 0.02 }
  for (const { loss, mixtureGradients } of [await gateStep(mixed), await unrolledStep({ ...mixed, ...ahead })]) {
    numbers.push(loss, ...mixtureGradients.flatMap(({ gradients }) => gradients))
  }
  for (const { graph } of [two, full]) {
    const { loss, correct, gateGradients } = await gateStep({ graph, weights, images: batch, labels })
    numbers.push(loss, correct, ...gateGradients.flatMap(({ gradients }) => gradients))
  }
  const { loss, correct } = await evaluate({ graph: full.graph, weights, images: batch, labels })
  numbers.push(loss, correct)
  const values: Record<string, number[]> = {}
  for (const key of weights.materialised()) values[key] = [...(await weights.read(key))]
  sgd.clear()
  weights.dispose()
  batch.dispose()
  return { numbers, weights: values }
}

export { type Outcome, runSteps }
