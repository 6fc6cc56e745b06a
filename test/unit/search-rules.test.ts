import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { agentRecordSchema } from '../../rules/search/store.ts'
import { describeSearchRules } from '../fixtures/search-rules.ts'

describeSearchRules('store in memory', async (body) => body({ create: createMemoryStore, reopen: (store) => store }))

describe('the record of an agent', () => {
  it('that was stored before bytes were counted is read, with none', () => {
    const stored = {
      agentId: 'a0123456789ab',
      name: 'old',
      device: 'd',
      backend: 'wasm',
      registeredAtMs: 1,
      lastSeenAtMs: 2,
      tasksDone: 3,
      duplicates: 0,
      refusedPushes: 0,
      trainMs: 4,
      idleMs: 5,
      imagesPerSecond: null,
    }
    expect(agentRecordSchema.parse(stored)).toEqual({ ...stored, peakBytes: null, steps: 0, bytesSent: 0, bytesReceived: 0 })
  })
})
