// Trainings of a comparison that agents do: over the rules of trainings, with stores in memory, and agents that deliver at once.

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ClientError } from '../../command-line/coordinator-client.ts'
import { openExperimentFolder, type TrainingRecord } from '../../models/compare/experiment-folder.ts'
import { trainOnAgents } from '../../models/compare/train-on-agents.ts'
import type { TrainingJob } from '../../models/compare/run-experiment.ts'
import { type TrainingSpecInput, trainingSpecSchema } from '../../protocol/index.ts'
import {
  commandTraining,
  createTrainingSetup,
  finishTraining,
  leaseTraining,
  type OpenTraining,
  openTraining,
  startTraining,
  storeCheckpoint,
  trainingStatus,
} from '../../rules/training/index.ts'
import { createMemoryTrainingStore } from '../../rules/training/memory-store.ts'
import { START_MS } from '../fixtures/searches.ts'
import {
  AGENT_A,
  encodeTrainingCheckpoint,
  encodeTrainingResult,
  makeLeaseRequest,
  makeResult,
  makeTrainingSpec,
  wholeDelivery,
} from '../fixtures/trainings.ts'

const STEPS = 30
const LEASE = 'l00000000000a'
/** Less than a lease. */
const TRAINED_MS = 500
const OTHER_DATA = 'b'.repeat(64)

/** A coordinator's trainings. */
function createCoordinator() {
  const trainings = new Map<string, OpenTraining>()
  const find = (trainingId: string) => {
    const training = trainings.get(trainingId)
    if (!training) throw new ClientError('not-found', `there is no training ${trainingId}`)
    return training
  }
  return {
    trainings,
    client: {
      url: 'http://coordinator',
      async createTraining(input: TrainingSpecInput) {
        const trainingId = `r${String(trainings.size + 1).padStart(12, '0')}`
        const store = createMemoryTrainingStore()
        startTraining(() => store, createTrainingSetup(trainingId, trainingSpecSchema.parse(input), START_MS))
        trainings.set(trainingId, openTraining(store) as OpenTraining)
        return { trainingId, agentToken: `token of ${trainingId}`, tokenId: 't000000000000', parameters: 1, checkpointBytes: 1 }
      },
      trainingStatus: async (trainingId: string) => trainingStatus(find(trainingId), true),
    },
    /** An agent has it, with these data. */
    lease(trainingId: string, fingerprint?: string): OpenTraining {
      const training = find(trainingId)
      const request = makeLeaseRequest(training.setup.spec, AGENT_A)
      leaseTraining(training, { ...request, dataset: { ...request.dataset, ...(fingerprint && { fingerprint }) } }, LEASE, START_MS)
      return training
    },
    /** An agent trains it to the end. */
    train(trainingId: string) {
      const training = this.lease(trainingId)
      const { spec } = training.setup
      storeCheckpoint(training, LEASE, wholeDelivery(encodeTrainingCheckpoint(spec, STEPS)), START_MS)
      const model = wholeDelivery(encodeTrainingResult(spec, makeResult(STEPS)))
      expect(finishTraining(training, LEASE, model, START_MS + TRAINED_MS)).toEqual({ kind: 'stored' })
    },
  }
}

const { space, architecture, leaseMs } = makeTrainingSpec()
const jobOf = (name: string, seed: number): TrainingJob => ({
  candidate: { name, group: 'searched', space, architecture, macs: 1, parameters: 1 },
  seed,
  settings: [architecture, name, seed],
  networkFlags: [],
})

let path: string
let coordinator: ReturnType<typeof createCoordinator>
let notes: string[]

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'gatehouse-compare-agents-'))
  coordinator = createCoordinator()
  notes = []
})
afterEach(() => rmSync(path, { recursive: true }))

/** Compares, with agents that do `work` once the trainings are there; the records that came. */
async function compare(
  jobs: readonly TrainingJob[],
  work: () => void,
  known: readonly TrainingRecord[] = [],
  signal = AbortSignal.any([]),
) {
  const records: TrainingRecord[] = []
  let tokens: readonly string[] = []
  const trainAll = trainOnAgents({
    client: coordinator.client,
    folder: openExperimentFolder(path),
    spec: { dataset: { name: 'fake' }, leaseMs, recipe: { steps: STEPS } },
    intervalMs: 1,
    signal,
    onNote: (line) => void notes.push(line),
    onBegun(given) {
      tokens = given
      work()
    },
  })
  const end = await trainAll(jobs, known, (_, record) => void records.push(record)).then(
    () => null,
    (error: unknown) => error,
  )
  return { records, tokens, end }
}

const ids = () => [...coordinator.trainings.keys()]

describe('a comparison on agents', () => {
  it('is a training for each network and seed, whose results are its records', async () => {
    const jobs = [jobOf('a', 1), jobOf('b', 1), jobOf('a', 2)]
    const { records, tokens, end } = await compare(jobs, () => ids().forEach((id) => coordinator.train(id)))
    expect(end).toBeNull()
    expect(tokens).toEqual(ids().map((id) => `token of ${id}`))
    expect(records.map(({ candidate, seed, trainingId }) => [candidate, seed, trainingId])).toEqual([
      ['a', 1, ids()[0]],
      ['b', 1, ids()[1]],
      ['a', 2, ids()[2]],
    ])
    expect(records[0]).toMatchObject({ validation: 0.9, test: 0.9, seconds: TRAINED_MS / 1000, fingerprint: 'a'.repeat(64) })
    const [first] = coordinator.trainings.values()
    expect(first?.setup.spec).toMatchObject({ name: 'a, seed 1', seed: 1, recipe: { steps: STEPS }, dataset: { name: 'fake' } })
  })

  it('begun again goes on with the trainings that there are, makes anew what was deleted, and keeps to the data', async () => {
    const jobs = [jobOf('a', 1), jobOf('b', 1), jobOf('c', 1)]
    const stop = new AbortController()
    const first = await compare(jobs, () => stop.abort(new Error('interrupted')), [], stop.signal)
    expect(first.end).toMatchObject({ message: 'interrupted' })
    const [a = '', b = '', c = ''] = ids()
    coordinator.train(a)
    const [record] = (await compare(jobs.slice(0, 1), () => undefined)).records
    coordinator.trainings.delete(b)
    // The map's size names the next one.
    coordinator.trainings.set('r0000000000xx', coordinator.trainings.get(a) as OpenTraining)
    const again = await compare(
      jobs.slice(1),
      () => {
        for (const id of ids()) if (![a, 'r0000000000xx'].includes(id)) coordinator.train(id)
      },
      [record as TrainingRecord],
    )
    expect(again.end).toBeNull()
    const made = ids().find((id) => ![a, c, 'r0000000000xx'].includes(id))
    expect(again.records.map(({ candidate, trainingId }) => [candidate, trainingId])).toEqual([
      ['b', made],
      ['c', c],
    ])
    expect(coordinator.trainings.get(made ?? '')?.setup.spec.dataset).toEqual({ name: 'fake', fingerprint: 'a'.repeat(64) })
    const kept = join(path, 'agent-trainings')
    // They have tokens.
    for (const file of readdirSync(kept)) expect(statSync(join(kept, file)).mode & 0o077).toBe(0)
  })

  it('whose agents have different data ends, and names both', async () => {
    const { end } = await compare([jobOf('a', 1), jobOf('b', 1)], () => {
      const [a = '', b = ''] = ids()
      coordinator.train(a)
      coordinator.lease(b, OTHER_DATA)
    })
    expect(end).toMatchObject({ code: 'conflict', message: expect.stringContaining(`b, seed 1 on ${OTHER_DATA}`) })
  })

  it('waits for the others where a training has no network, and says what to do about each', async () => {
    const diverged = { end: 'diverged', message: 'the loss is NaN at step 3 of 30' } as const
    const { records, end } = await compare([jobOf('a', 1), jobOf('b', 1), jobOf('c', 1)], () => {
      const [a = '', b = '', c = ''] = ids()
      commandTraining(coordinator.trainings.get(a) as OpenTraining, 'stop', START_MS)
      // Two agents find it.
      const training = coordinator.trainings.get(b) as OpenTraining
      for (const [agent, lease] of [
        [AGENT_A, LEASE],
        ['a00000000000b', 'l00000000000b'],
      ] as const) {
        leaseTraining(training, makeLeaseRequest(training.setup.spec, agent), lease, START_MS)
        finishTraining(training, lease, wholeDelivery(encodeTrainingResult(training.setup.spec, diverged)), START_MS)
      }
      setTimeout(() => coordinator.train(c), 5)
    })
    expect(records.map(({ candidate }) => candidate)).toEqual(['c'])
    expect(end).toMatchObject({
      code: 'failure',
      message: '2 of 3 trainings have no network',
      errors: [
        { path: 'a, seed 1', message: expect.stringContaining('training resume r000000000001') },
        { path: 'b, seed 1', message: expect.stringContaining('diverged: the loss is NaN at step 3 of 30') },
      ],
    })
    expect(notes).toHaveLength(2)
  })
})
