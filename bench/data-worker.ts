// A process of bench:data: reads images, or trains.

import { once } from 'node:events'
import * as tf from '@tensorflow/tfjs-core'
import { createRandom, createSpace, randomPath, seedState } from '../search-space/index.ts'
import { openBackend } from '../engine/backends/backends.ts'
import { type Batch, batchIndices, type BatchRequest, type BatchStream, openBatchSource, openDataset } from '../engine/datasets/index.ts'
import { createSgd, createWeights, trainStep } from '../engine/executor/index.ts'
import type { DataAnswer, DataJob, DataRequest } from './data-messages.ts'

const SPACE = 'proxyless-mobile'
const READ_BATCH = 32
const KIBIBYTE = 1024
const MOMENTUM = 0.9
const WEIGHT_DECAY = 4e-5
const LEARNING_RATE = 0.05

const say = (answer: DataAnswer) => void process.send?.(answer)
const space = createSpace(SPACE)

/** Shuffled training batches without end, augmented as in a search. */
async function openStream({ folder, cacheFolder }: { folder: string; cacheFolder: string }, batch: number): Promise<BatchStream> {
  const dataset = await openDataset(folder, { cacheFolder, input: () => space.input })
  const share = Uint32Array.from({ length: dataset.train.count }, (_, index) => index)
  const requests = function* (): Generator<BatchRequest> {
    for (let step = 0; ; step++) {
      const augmentation = { settings: { flip: true, shift: 0 }, seed: ['bench', step] }
      yield { split: 'train', indices: batchIndices(share, batch, step, 'bench'), augmentation }
    }
  }
  return (await openBatchSource(dataset)).batches(requests())
}

async function nextBatch(stream: BatchStream): Promise<Batch> {
  const { value } = await stream.next()
  return value as Batch
}

async function read(job: Extract<DataJob, { kind: 'read' }>): Promise<DataAnswer> {
  const stream = await openStream(job, READ_BATCH)
  await nextBatch(stream)
  say({ kind: 'ready', backend: null })
  await once(process, 'message')
  const startMs = performance.now()
  let images = 0
  while (images < job.images) images += (await nextBatch(stream)).labels.length
  const ms = performance.now() - startMs
  await stream.return()
  return { kind: 'read', images, ms, peakRssBytes: process.resourceUsage().maxRSS * KIBIBYTE }
}

async function train({ backend: wanted, batch, steps, data }: Extract<DataJob, { kind: 'train' }>): Promise<DataAnswer> {
  const { chosen } = await openBackend(wanted)
  const weights = createWeights(chosen, space.weightSpecs, 1)
  const optimiser = createSgd({ momentum: MOMENTUM, nesterov: true, weightDecay: WEIGHT_DECAY })
  const random = createRandom(seedState('bench-data'))
  const stream = data && (await openStream(data, batch))
  const kept = tf.randomNormal([batch, ...space.input]) as tf.Tensor4D
  const keptLabels = Int32Array.from({ length: batch }, (_, index) => index)
  let waitMs = 0

  const step = async () => {
    const path = randomPath(space, random)
    let images = kept
    let labels: Int32Array = keptLabels
    if (stream) {
      const startMs = performance.now()
      const next = await nextBatch(stream)
      waitMs += performance.now() - startMs
      images = tf.tensor4d(next.images, [batch, ...space.input])
      labels = next.labels
    }
    const { gradients } = await trainStep({ graph: space.network(path), weights, images, labels })
    optimiser.apply(weights, gradients, LEARNING_RATE)
    if (images !== kept) images.dispose()
  }

  await step()
  waitMs = 0
  say({ kind: 'ready', backend: chosen.name })
  await once(process, 'message')
  const startMs = performance.now()
  for (let i = 0; i < steps; i++) await step()
  const ms = performance.now() - startMs
  await stream?.return()
  return { kind: 'trained', images: steps * batch, ms, waitMs }
}

const [request] = (await once(process, 'message')) as [DataRequest]
if (request.kind !== 'job') throw new Error('go came before a job')
say(await (request.job.kind === 'read' ? read(request.job) : train(request.job)))
process.disconnect()
