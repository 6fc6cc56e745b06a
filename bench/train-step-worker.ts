// A process of bench:train-step that runs our steps: the executor's step and, for weights, the optimiser's.

import * as tf from '@tensorflow/tfjs-core'
import { createRandom, type LayerGraph, seedState } from '../search-space/index.ts'
import { openBackend } from '../engine/backends/backends.ts'
import { createSgd, createWeights, gateStep, trainStep } from '../engine/executor/index.ts'
import { benchCases, caseSpace, parameterCount, type StepName } from './train-step-cases.ts'
import type { WorkerAnswer, WorkerRequest } from './train-step-messages.ts'

const LEARNING_RATE = 0.05
const LABEL_SMOOTHING = 0.1

async function openCase({ caseName, backend: wanted }: Extract<WorkerRequest, { kind: 'open' }>) {
  const benchCase = benchCases.find(({ name }) => name === caseName)
  if (!benchCase) throw new Error(`no case is called ${caseName}`)
  const { chosen } = await openBackend(wanted)
  const space = caseSpace(benchCase)
  const weights = createWeights(chosen, space.weightSpecs, 1)
  const optimiser = createSgd({ momentum: 0.9, nesterov: true, weightDecay: 4e-5 })
  const { batch } = benchCase
  const random = createRandom(seedState('bench-images', caseName))
  const images = tf.randomNormal([batch, ...space.input]) as tf.Tensor4D
  const labels = Int32Array.from({ length: batch }, () => Math.floor(random.uniform() * space.classes))

  const perform = async (step: StepName, graph: LayerGraph) => {
    if (step === 'weight') {
      const { gradients } = await trainStep({ graph, weights, images, labels, labelSmoothing: LABEL_SMOOTHING })
      optimiser.apply(weights, gradients, LEARNING_RATE)
    } else {
      await gateStep({ graph, weights, images, labels })
    }
  }
  return { space, backend: chosen, perform }
}

let opened: Awaited<ReturnType<typeof openCase>> | undefined

async function answer(request: WorkerRequest): Promise<WorkerAnswer> {
  if (request.kind === 'open') {
    opened = await openCase(request)
    const { backend, space } = opened
    return { kind: 'opened', backend: backend.name, description: backend.description, parameters: parameterCount(space) }
  }
  if (!opened) throw new Error('run came before open')
  const ms: number[] = []
  for (const choices of request.choices) {
    const startMs = performance.now()
    await opened.perform(request.step, opened.space.network(choices))
    ms.push(performance.now() - startMs)
  }
  return { kind: 'ran', ms }
}

process.on('message', async (request: WorkerRequest) => {
  process.send?.(await answer(request))
})
