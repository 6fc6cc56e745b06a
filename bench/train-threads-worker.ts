// A process of bench:train-threads: one training in a number of threads, which goes on by so many steps when it is told to.

import { recipeSchema } from '../protocol/index.ts'
import { createRandom, createSpace, elementCount, seedState, type Shape } from '../search-space/index.ts'
import { openBackend } from '../engine/backends/backends.ts'
import type { MemoryDataset, Split } from '../engine/datasets/index.ts'
import { createReplica, type TrainingTask } from '../engine/training/replica.ts'
import { scheduleOf } from '../engine/training/schedule.ts'
import { startTeam } from '../engine/training/threads/thread-team.ts'
import { type ThreadsAnswer, threadsCases, type ThreadsRequest } from './train-threads-cases.ts'

const IMAGES = 1024
/** More than are ever run. */
const STEPS = 100_000
const MICROSECONDS_PER_MS = 1000

/** Noise: what the images show makes no difference to the time. */
function noiseSplit(count: number, shape: Shape, classes: number): Split {
  const random = createRandom(seedState('bench-images'))
  const images = Uint8Array.from({ length: count * shape[0] * shape[1] * shape[2] }, () => random.integer(256))
  return { count, shape, images, labels: Uint16Array.from({ length: count }, () => random.integer(classes)) }
}

async function openCase({ caseName, threads }: Extract<ThreadsRequest, { kind: 'open' }>) {
  const found = threadsCases.find(({ name }) => name === caseName)
  if (!found) throw new Error(`no case is called ${caseName}`)
  const { chosen: backend } = await openBackend('wasm')
  const space = createSpace(found.space)
  const { classes, input: shape, weightSpecs } = space
  const path = space.decisions.map(({ options }) => options.findIndex(({ name }) => name === found.operation))
  const channels = (value: number) => Array<number>(shape[2]).fill(value)
  const dataset: MemoryDataset = {
    storage: 'memory',
    name: 'noise',
    fingerprint: '0'.repeat(64),
    shape,
    classes,
    train: noiseSplit(IMAGES, shape, classes),
    test: noiseSplit(1, shape, classes),
    normalisation: { mean: channels(0.5), std: channels(0.3) },
  }
  const recipe = recipeSchema.parse({ steps: STEPS, batchSize: found.batch })
  const shares = {
    train: Uint32Array.from({ length: IMAGES }, (_, i) => i),
    validation: new Uint32Array(0),
    validationSplit: 'train' as const,
  }
  const schedule = scheduleOf(recipe, IMAGES)
  const graph = space.network(path)
  const task: TrainingTask = { graph, weightSpecs, shape, recipe, schedule, seed: 1, shares, firstStep: 0, accumulate: 1 }
  const state = { weights: new Map(), velocities: new Map(), squares: new Map(), average: new Map() }
  const replica = await createReplica({ backend, dataset, task, place: { index: 0, count: threads }, state })
  const weights = weightSpecs.filter(({ key }) => replica.keys.includes(key))
  const onNote = () => undefined
  const team = threads > 1 ? await startTeam({ backend, dataset, task, count: threads, weights, state, onNote }) : null

  return {
    description: backend.description,
    parameters: weights.reduce((sum, spec) => sum + elementCount(spec.shape), 0),
    async run(steps: number) {
      const startMs = performance.now()
      const startCpu = process.cpuUsage()
      team?.train(steps)
      for (let step = 0; step < steps; step++) {
        const own = await replica.gradients()
        const { tensors } = team ? await team.exchange(own) : own
        replica.apply(tensors)
      }
      const { user, system } = process.cpuUsage(startCpu)
      return { ms: performance.now() - startMs, cpuMs: (user + system) / MICROSECONDS_PER_MS }
    },
  }
}

let opened: Awaited<ReturnType<typeof openCase>> | undefined

async function answer(request: ThreadsRequest): Promise<ThreadsAnswer> {
  if (request.kind === 'open') {
    opened = await openCase(request)
    return { kind: 'opened', description: opened.description, parameters: opened.parameters }
  }
  if (!opened) throw new Error('run came before open')
  return { kind: 'ran', ...(await opened.run(request.steps)) }
}

process.on('message', async (request: ThreadsRequest) => {
  process.send?.(await answer(request))
})
